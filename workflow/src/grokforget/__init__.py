"""grokforget: does training past grokking change how well a network forgets?

The package is the science, which knows no Snakemake and no paths (data, models, training, methods, metrics, analyses, ...),
and around it the jobs of the workflow as plain functions (``jobs``), what a study may say and what each job is told
(``config``), and how a job is run, kept and found valid (``runtime``).
"""

__version__ = "0.1.0"

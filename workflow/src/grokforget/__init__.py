"""grokforget: does training past grokking change how well a network forgets?

The package holds the stages of the workflow as plain functions; the Snakemake rules under ``workflow/rules`` only name
their inputs, outputs and settings. ``stages`` is the way in, ``config`` describes a study.
"""

__version__ = "0.1.0"

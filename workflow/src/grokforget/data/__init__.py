"""The data sets, and the tables of examples and of indices that they come as."""

from grokforget.runtime.lazy import public_names

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        "Arrays": "arrays:Arrays",
        "DataError": "refusal:DataError",
        "DataShape": "shape:DataShape",
        "Digits": "digits:Digits",
        "ExampleTable": "examples:ExampleTable",
        "Examples": "loader:Examples",
        "ForgetSplit": "examples:ForgetSplit",
        "Group": "group:Group",
        "GroupTable": "group:GroupTable",
        "ImageFolder": "image_folder:ImageFolder",
        "LabelNoise": "examples:LabelNoise",
        "Loader": "loader:Loader",
        "Modular": "modular:Modular",
        "Polynomial": "polynomial:Polynomial",
        "Request": "examples:Request",
        "Rows": "examples:Rows",
        "SparseParity": "sparse_parity:SparseParity",
        "Split": "examples:Split",
        "Table": "table:Table",
        "TrainingExamples": "examples:TrainingExamples",
        "VisionData": "torchvision_sets:VisionData",
        "class_balanced": "examples:class_balanced",
        "read_examples": "examples:read_examples",
        "training_loader": "loader:training_loader",
    },
)

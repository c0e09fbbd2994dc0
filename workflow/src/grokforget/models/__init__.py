"""The models, and what builds and rescales them."""

from grokforget.runtime.lazy import public_names

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        "CNN": "cnn:CNN",
        "CausalLM": "causal_lm:CausalLM",
        "MLP": "mlp:MLP",
        "ResNet": "resnet:ResNet",
        "TorchvisionModel": "torchvision_model:TorchvisionModel",
        "Transformer": "transformer:Transformer",
        "ViT": "vit:ViT",
        "build_model": "build:build_model",
        "continuous": "points:continuous",
        "fresh_copy": "fresh:fresh_copy",
        "rescaled_state": "rescale:rescaled_state",
    },
)

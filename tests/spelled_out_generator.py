"""An fp32 graph as a model folder has it, with its norms spelled out."""

from __future__ import annotations

from mr2ct.card import PAPER_SLICES
from mr2ct_export.exact_norm import with_exact_norms
from mr2ct_export.to_onnx import OPSET, to_onnx
from mr2ct_training.generator import GeneratorConfig, untrained


def spelled_out_generator() -> bytes:
    """Of an untrained generator of width 8 with two residual blocks, always the same."""
    plain = to_onnx(untrained(GeneratorConfig(width=8, blocks=2), seed=0), PAPER_SLICES)
    content: bytes = with_exact_norms(plain, OPSET).SerializeToString()
    return content

"""Triton's backend "onnxruntime", written for Triton's Python backend, where a server comes without the real one.

Triton itself reads the configuration, checks shapes, batches and warms up; here is only what runs the graph.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton  # what Triton puts there


class TritonPythonModel:
    """What Triton's Python backend looks for by this name."""

    def initialize(self, told: dict[str, str]) -> None:
        """Load the graph of the version that Triton chose."""
        config = json.loads(told["model_config"])
        self.ends = config["input"][0]["name"], config["output"][0]["name"]
        graph = Path(told["model_repository"]) / told["model_version"] / config["default_model_filename"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Requests that Triton put together, in one call of the graph."""
        taken = [triton.get_input_tensor_by_name(request, self.ends[0]).as_numpy() for request in requests]
        (answer,) = self.session.run([self.ends[1]], {self.ends[0]: np.concatenate(taken)})
        ends = np.cumsum([len(one) for one in taken])[:-1]
        return [triton.InferenceResponse([triton.Tensor(self.ends[1], part)]) for part in np.split(answer, ends)]

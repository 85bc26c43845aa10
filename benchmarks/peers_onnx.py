"""What ONNX Runtime and OpenVINO do in bench_step.py: predict, from one ONNX model of the network."""

import os

import numpy as np
from network import batch_of, onnx_model


def threads():
    return int(os.environ["OMP_NUM_THREADS"])  # workers.Worker set it


def images(batch):
    return np.ascontiguousarray(batch_of(batch)[0].transpose(0, 3, 1, 2))


def onnxruntime_about():
    import onnxruntime

    return lambda: f"ONNX Runtime {onnxruntime.__version__}"


def onnxruntime_predict(batch):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads(), 1
    session = onnxruntime.InferenceSession(onnx_model(batch), options, providers=["CPUExecutionProvider"])
    inputs = {"x": images(batch)}
    return lambda: session.run(None, inputs)[0]


def openvino_about():
    import openvino

    return lambda: f"OpenVINO {openvino.__version__.split('-')[0]}"


def openvino_predict(batch):
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads(),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",  # it would take bfloat16 where the processor has it
    }
    core = openvino.Core()
    request = core.compile_model(core.read_model(onnx_model(batch)), "CPU", settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(images(batch)))

    def predict():
        request.infer()
        return request.get_output_tensor().data

    return predict, np.copy


ONNXRUNTIME = {"about": onnxruntime_about, "predict": onnxruntime_predict}
OPENVINO = {"about": openvino_about, "predict": openvino_predict}

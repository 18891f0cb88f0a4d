import os

# From its import on onnxruntime would report to its maker: process, models, times, errors.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

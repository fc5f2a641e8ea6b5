"""Uses the trained model: reads images, writes prediction files in the original images' pixel coordinates.

    python -m headrace_trainer.predict images MODEL IMAGE|FOLDER… --out FOLDER      (`headrace predict`)
    python -m headrace_trainer.predict graph MODEL --format onnx|torch-export       (`headrace export`)

Needs a `model/` folder and no part of the training: no supervisor, no worker, no dataset.
"""

"""The trained model at work: images in, files of predictions out, in the pixels of the images as they are.

    python -m headrace_trainer.predict images MODEL IMAGE|FOLDER… --out FOLDER      (`headrace predict`)
    python -m headrace_trainer.predict graph MODEL --format onnx|torch-export       (`headrace export`)

Needs a `model/` folder and nothing of what trains one: no supervisor (but to fetch from s3://), no worker, no dataset.
"""

"""Export of trained networks: ONNX files and programs of ``torch.export``, checked against torch, and kits."""

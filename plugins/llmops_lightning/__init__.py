"""Supervised fine-tuning with PyTorch Lightning: adapters or whole weights, bit for bit repeatable."""

"""The measurements of ``trm analyze``: early exit, test-time scaling, calibration, robustness."""

"""What ``trm analyze`` measures: early exit, test-time scaling, calibration, robustness."""

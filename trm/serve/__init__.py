"""The HTTP service of ``trm serve``: trained models behind a queue, solved in dynamic batches (extra ``serve``)."""

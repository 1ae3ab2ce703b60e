"""Writers of export formats, one module each. What reads a format back is its predictor."""

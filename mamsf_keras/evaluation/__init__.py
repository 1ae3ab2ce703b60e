"""From predictions to numbers: exact metrics of each finding."""

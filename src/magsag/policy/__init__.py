"""Pure judgement: one frozen record in, one verdict out."""

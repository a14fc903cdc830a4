"""Deduplication in one process, without Spark: same documents, decisions and digests (paper 2.1.1).

``tables`` reads and writes parquet a piece at a time; ``corpus`` knows the facts of all documents
and finds their texts again; ``units`` is what a level compares; ``passes`` finds what goes;
``stages`` are the two stages. Facts and band hashes are held in memory, texts never: they are read
once to be hashed, those of clusters once more to be compared, and what stays once to be written.
The kernels, the keep rule and the comparison inside a cluster are those of the Spark stages.
"""

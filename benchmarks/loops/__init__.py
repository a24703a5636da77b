"""Training loops that are compared, one a file; the file name is the loop's name.

Each file has ``TITLE``, how it is printed, and ``run(job)``, which trains one pass. All compute
the loss and the accuracy of every step, except ``dataloader``, which is as its document has it.
"""

"""The program that is proved: one C main over the very sources of cores/, one shim for each zkVM.

Why: what is proved is what traded. `build` makes the ELFs again byte for byte, `native` runs the same program as a
plain function, `inputs` makes workloads. Nothing in here may differ in effect between the shims.
"""

"""The command line of sargan: parse, call ``sargan_core``, print."""

//! Where steps run: local processes, their environments and admission.

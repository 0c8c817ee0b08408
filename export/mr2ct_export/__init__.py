"""mr2ct_export: the gate between workshop and product. Needs torch and onnx: pip install 'mr2ct[export]'."""

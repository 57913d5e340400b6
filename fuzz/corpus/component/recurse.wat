(module (func $f (call $f)) (start $f) (func (export "_start")))

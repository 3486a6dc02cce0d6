-- doctor.lua - what the build says of itself, under refused memory.
local doctor = require("recsys.core").doctor

assert(doctor.build().version and doctor.build().commit)
assert(doctor.libraries().openblas)
assert(doctor.blas().parallel == "openmp")

#include "kernels/formats/decode.h"

#include "numeric_loops.h"

#include "numeric_loops_body.h"

const struct numeric_loops numeric_loops_plain = {.name = "loop", .sum = sum, .dot = dot, .scale = scale};

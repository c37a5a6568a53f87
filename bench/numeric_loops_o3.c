/* Built with -O3; see CMakeLists.txt. */
#include "numeric_loops.h"

#include "numeric_loops_body.h"

const struct numeric_loops numeric_loops_o3 = {.name = "loop -O3", .sum = sum, .dot = dot, .scale = scale};

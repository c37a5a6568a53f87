/* The loops of numeric_loops.h. */
#include <stddef.h>

static double sum(const double *data, size_t count)
{
    double total = 0;
    for (size_t i = 0; i < count; i++)
        total += data[i];
    return total;
}

static double dot(const double *left, const double *right, size_t count)
{
    double total = 0;
    for (size_t i = 0; i < count; i++)
        total += left[i] * right[i];
    return total;
}

static void scale(double *data, size_t count, double factor)
{
    for (size_t i = 0; i < count; i++)
        data[i] *= factor;
}

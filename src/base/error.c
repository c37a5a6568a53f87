#include <kernel/error.h>

#include <limits.h>
#include <string.h>

/* The sign-free value; INT_MIN has none and is no error number. */
static int magnitude(int error)
{
    if (error == INT_MIN)
        return INT_MAX;
    return error < 0 ? -error : error;
}

const char *kn_error_text(int error)
{
    const char *text = strerrordesc_np(magnitude(error));
    return text ? text : "Unknown error";
}

const char *kn_error_name(int error)
{
    const char *name = strerrorname_np(magnitude(error));
    return name ? name : "EUNKNOWN";
}

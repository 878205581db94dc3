/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

GQuark cvd_error_quark(void)
{
    return g_quark_from_static_string("cvd-error-quark");
}

gboolean cvd_fail(GError **error, CvdError code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *message = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, CVD_ERROR, (int)code, message);
    return FALSE;
}

gboolean cvd_pass_error(GError **error, GError **reason)
{
    g_propagate_error(error, g_steal_pointer(reason));
    return FALSE;
}

void cvd_error_add_help(GError **error, const char *command)
{
    if (error == NULL || *error == NULL)
        return;
    char *text = g_strdup_printf("%s; see %s --help", (*error)->message, command);
    g_free((*error)->message);
    (*error)->message = text;
}

gboolean cvd_set_error_errno(GError **error, CvdError code, int saved_errno, const char *format,
                             ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    return cvd_fail(error, code, "%s: %s", what, g_strerror(saved_errno));
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <glib-object.h>

/* G_DEFINE_BOXED_TYPE() converts its functions to a transparent union, which ISO C does not have.
 */
#define CVD_DEFINE_BOXED_TYPE(TypeName, type_name, copy, free)                                     \
    GType type_name##_get_type(void)                                                               \
    {                                                                                              \
        static gsize type;                                                                         \
                                                                                                   \
        if (g_once_init_enter(&type))                                                              \
            g_once_init_leave(&type, g_boxed_type_register_static(#TypeName, (GBoxedCopyFunc)copy, \
                                                                  (GBoxedFreeFunc)free));          \
        return type;                                                                               \
    }

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/types.h"

G_BEGIN_DECLS

/** CVD_NAME_EXPECTED: what the name of an instance or of a host program is, for messages */
#define CVD_NAME_EXPECTED                                                                          \
    "a string of 1 to 32 letters, digits, '_', '.' or '-', of which the first is a letter or "     \
    "digit"

/** cvd_type_name: a name that keeps that rule, in a char * */
extern const CvdType cvd_type_name;

/** cvd_is_instance_name: Returns: whether @name keeps the rule for names of instances */
gboolean cvd_is_instance_name(const char *name);

G_END_DECLS

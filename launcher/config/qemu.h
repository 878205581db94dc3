/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "launcher/config/types.h"
#include "launcher/config/values.h"

G_BEGIN_DECLS

/** CVD_SANDBOX_DEFAULT: what `"sandbox": true` stands for */
#define CVD_SANDBOX_DEFAULT                                                                        \
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

/** CVD_MAX_VCPUS: of one VM */
#define CVD_MAX_VCPUS 4096

extern const CvdType cvd_type_kernel;     /* a path, or `builtin` */
extern const CvdType cvd_type_machine;    /* a string: one that has PCI */
extern const CvdType cvd_type_accel;      /* a string or a list of them, in a char ** */
extern const CvdType cvd_type_smp;        /* a number or a string, in a char * */
extern const CvdType cvd_type_append;     /* a string or a list of words, in a char * */
extern const CvdType cvd_type_sandbox;    /* a boolean or a string, in a char *; false is %NULL */
extern const CvdType cvd_type_extra_args; /* a list of strings */
extern const CvdType cvd_type_qapi;       /* objects, each with @words[0], in a char ** as JSON */
extern const CvdType cvd_type_devices;    /* the same for `-device` */
extern const CvdType cvd_type_chardevs;   /* as QMP's chardev-add has them, in a char ** as JSON */
extern const CvdType cvd_type_tpmdevs;    /* the same for `-tpmdev` */

/** cvd_qemu_config_get_vcpus: Returns: how many vCPUs @smp asks for; 1 if it does not say */
guint cvd_qemu_config_get_vcpus(const CvdQemuConfig *qemu);

/**
 * cvd_builtin_guest_path:
 *
 * Returns: (transfer full): absolute path of the guest that the project ships: the installed one
 *   beside this executable, that of the build tree, or where an installation puts it
 */
char *cvd_builtin_guest_path(void);

G_END_DECLS

/* SPDX-License-Identifier: Apache-2.0 */
/* For the checks of `--doctor` alone. */
#pragma once

#include "launcher/config/values.h"

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

#define CVD_DOCTOR_BINARY "qemu-system-x86_64"

typedef enum {
    VERDICT_OK,
    VERDICT_WARNING, /* it will do, though not as well as it could */
    VERDICT_PROBLEM, /* a launch will fail */
} Verdict;

/**
 * Doctor:
 * @config: (nullable): %NULL: only the machine is looked at
 * @qemu: (nullable): that of @config
 * @binary: (nullable): path of QEMU; %NULL if there is none that is one
 * @problems: (nullable): where they go, and nothing else is said
 * @findings: (nullable): where all goes; %NULL: it is printed as it comes
 * @versions: (nullable): of what takes part; %NULL: nobody asks
 * @check: the name of the check that runs
 * @worst: of all that was said
 */
typedef struct {
    const CvdConfig *config;
    const CvdQemuConfig *qemu;
    char *binary;
    GPtrArray *problems;
    JsonArray *findings;
    JsonObject *versions;
    const char *check;
    Verdict worst;
} Doctor;

/** cvd_doctor_say: Adds a finding of the check that runs. */
void cvd_doctor_say(Doctor *doctor, Verdict verdict, const char *format, ...) G_GNUC_PRINTF(3, 4);
/** cvd_doctor_say_all: Adds @problems: (element-type utf8). */
void cvd_doctor_say_all(Doctor *doctor, const GPtrArray *problems);
/** cvd_doctor_note_version: Adds the version of @what, such as `qemu`. */
void cvd_doctor_note_version(Doctor *doctor, const char *what, const char *version);

void cvd_doctor_check_qemu(Doctor *doctor);
void cvd_doctor_check_machine(Doctor *doctor);
void cvd_doctor_check_devices(Doctor *doctor);
void cvd_doctor_check_sandbox(Doctor *doctor);
void cvd_doctor_check_accelerators(Doctor *doctor);
void cvd_doctor_check_kvm(Doctor *doctor);
void cvd_doctor_check_descriptors(Doctor *doctor);
void cvd_doctor_check_memlock(Doctor *doctor);
void cvd_doctor_check_memory(Doctor *doctor);
void cvd_doctor_check_shm(Doctor *doctor);
void cvd_doctor_check_hugepages(Doctor *doctor);
void cvd_doctor_check_runtime_dir(Doctor *doctor);
void cvd_doctor_check_apparmor(Doctor *doctor);
void cvd_doctor_check_confinement(Doctor *doctor);

G_END_DECLS

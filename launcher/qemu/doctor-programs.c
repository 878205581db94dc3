/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/config/types.h"
#include "launcher/programs/confine.h"
#include "launcher/qemu/doctor-private.h"
#include "launcher/qemu/doctor-run.h"

#include <signal.h>

#define RUN_LIMIT_MS 5000

static gboolean has_confined_program(const CvdConfig *config)
{
    for (guint i = 0; i < config->n_programs; i++)
        if (config->programs[i].confine && config->programs[i].confine->has_file_system)
            return TRUE;
    return FALSE;
}

/* A program that does nothing, confined as others are. */
void cvd_doctor_check_confinement(Doctor *doctor)
{
    CvdConfine confine = {.has_file_system = TRUE};
    const CvdProgramConfig program = {.stop_signal = SIGTERM, .confine = &confine};
    char *argv[] = {(char *)"true", NULL};
    g_autofree char *bubblewrap = g_find_program_in_path("bwrap");
    CvdDoctorEnd end;

    if (!has_confined_program(doctor->config) || !bubblewrap)
        return; /* cvd_config_probe() says that bubblewrap is missing */
    g_auto(GStrv) command = cvd_confine_wrap(doctor->config, &program, argv, NULL);
    cvd_string_take(&command[0], g_find_program_in_path(command[0]));
    g_autofree char *output =
        cvd_doctor_run((const char *const *)command, NULL, RUN_LIMIT_MS, &end);
    if (end == CVD_DOCTOR_SUCCEEDED)
        cvd_doctor_say(doctor, VERDICT_OK, "host programs can be confined");
    else
        cvd_doctor_say(doctor, VERDICT_PROBLEM,
                       "host programs cannot be confined: %s: let this user make namespaces "
                       "(sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone), or "
                       "set \"file_system\": false in their \"confine\"",
                       *g_strchomp(output) ? output : bubblewrap);
}

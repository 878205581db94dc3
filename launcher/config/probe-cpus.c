/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/config/probe-cpus.h"

#include "launcher/config/cpus.h"

#include <errno.h>
#include <string.h>

#define ONLINE "/sys/devices/system/cpu/online"

/* Returns: whether it is known which there are */
static gboolean get_online(CvdProcessors *online)
{
    g_autofree char *text = NULL;

    memset(online, 0, sizeof *online);
    return g_file_get_contents(ONLINE, &text, NULL, NULL) &&
           cvd_processors_parse(g_strchomp(text), online);
}

static void refuse(const CvdProcessors *wanted, const CvdProcessors *allowed, GPtrArray *problems)
{
    CvdProcessors online;
    gboolean is_known = get_online(&online);
    int absent = is_known ? cvd_processors_find_other(wanted, &online) : -1;
    g_autofree char *there = cvd_processors_format(absent >= 0 ? &online : allowed);

    if (absent >= 0)
        cvd_problem(problems, "qemu.cpus.pin: there is no processor %d; this machine has %s",
                    absent, there);
    else
        cvd_problem(problems,
                    "qemu.cpus.pin: cvd-launch may not use processor %d, but %s: name these, or "
                    "allow more where it is started (taskset, AllowedCPUs=, a control group)",
                    cvd_processors_find_other(wanted, allowed), there);
}

static void probe_control_group(const CvdQemuConfig *qemu, GPtrArray *problems)
{
    CvdControlGroupLimits limits = cvd_cpus_get_limits(qemu);
    g_autoptr(GError) error = NULL;

    if (cvd_control_group_is_wanted(&limits) && !cvd_control_group_check(&limits, &error))
        cvd_problem(problems, "%s", error->message);
}

void cvd_cpus_probe(const CvdQemuConfig *qemu, GPtrArray *problems)
{
    CvdProcessors allowed;

    probe_control_group(qemu, problems);

    if (!qemu->cpus.pin)
        return;
    CvdProcessors wanted = cvd_cpus_get_all(&qemu->cpus);
    if (cvd_processors_get_allowed(&allowed) < 0)
        cvd_problem(problems, "qemu.cpus.pin: cannot ask which processors may be used: %s",
                    g_strerror(errno));
    else if (cvd_processors_find_other(&wanted, &allowed) >= 0)
        refuse(&wanted, &allowed, problems);
}

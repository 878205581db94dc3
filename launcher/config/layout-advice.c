/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeps every rule and may still surprise: things that only a Linux guest would suffer from.
 */
#include "launcher/config/layout-file.h"

#include <string.h>

#define REGIONS_PER_VCPU 190 /* MSI-X interrupts of one device that a Linux guest can take */

static gboolean is_digits(const char *text)
{
    return strspn(text, "0123456789") == strlen(text);
}

/* Whether a Linux guest has a device node of that name already, so that a driver cannot make it. */
static gboolean is_taken_in_dev(const char *name)
{
    static const char *const taken[] = {
        "autofs",    "block",  "bus",      "char", "console",     "core",   "cpu",
        "disk",      "dri",    "fb0",      "fd",   "full",        "fuse",   "hpet",
        "hugepages", "hwrng",  "input",    "kmem", "kmsg",        "kvm",    "log",
        "mapper",    "mem",    "mqueue",   "net",  "null",        "nvram",  "port",
        "ppp",       "psaux",  "ptmx",     "pts",  "random",      "rfkill", "rtc",
        "rtc0",      "shm",    "snapshot", "snd",  "stderr",      "stdin",  "stdout",
        "uhid",      "uinput", "urandom",  "vfio", "vga_arbiter", "zero",   NULL};
    static const char *const numbered[] = {"loop", "ram", "vcs", "vcsa", "vcsu", NULL};

    if (g_str_has_prefix(name, "tty") || g_strv_contains(taken, name))
        return TRUE;
    for (guint i = 0; numbered[i] != NULL; i++)
        if (g_str_has_prefix(name, numbered[i]) && is_digits(name + strlen(numbered[i])))
            return TRUE;
    return FALSE;
}

static void warn_of_interrupts(const CvdPlace *place, const CvdLayout *layout, guint n_vcpus)
{
    guint n_needed = (layout->n_regions + REGIONS_PER_VCPU - 1) / REGIONS_PER_VCPU;
    g_autofree char *where = cvd_place_describe(place);

    if (n_needed > MAX(n_vcpus, 1))
        g_warning("%s: %u regions need as many MSI-X interrupts; a Linux guest takes about %d a "
                  "vCPU: give it %u vCPUs (smp), or fewer regions",
                  where, layout->n_regions, REGIONS_PER_VCPU, n_needed);
}

static void warn_of_name(const CvdLayoutFile *file, const CvdPlace *place, guint i,
                         const char *name)
{
    g_autofree char *member = g_strdup_printf("vsoc_device_regions[%u].device_name", i);
    CvdPlace found = cvd_place_find(place, file->root, member);
    g_autofree char *where = cvd_place_describe(&found);

    g_warning("%s: a Linux guest has a /dev/%s already, so that its driver could not make the "
              "region's; choose another name",
              where, name);
}

static gboolean is_current_version(const char *version)
{
    return strcmp(version, "2.0") == 0 || strcmp(version, "2") == 0;
}

void cvd_layout_file_advise(const CvdLayoutFile *file, const CvdPlace *place,
                            const CvdLayout *layout, guint n_vcpus)
{
    g_autofree char *where = cvd_place_describe(place);

    if (file->declared_version && !is_current_version(file->declared_version))
        g_message("%s: declares layout version %s; the window is written as version 2.0", where,
                  file->declared_version);
    warn_of_interrupts(place, layout, n_vcpus);
    for (guint i = 0; i < layout->n_regions; i++) {
        if (is_taken_in_dev(layout->regions[i].name))
            warn_of_name(file, place, i, layout->regions[i].name);
    }
}

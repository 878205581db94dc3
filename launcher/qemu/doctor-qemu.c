/* SPDX-License-Identifier: Apache-2.0 */
/* What QEMU is asked by running it, each time with a limit. */
#include "launcher/qemu/doctor-private.h"

#include "base/json.h"
#include "launcher/config/probe.h"
#include "launcher/config/qemu.h"
#include "launcher/qemu/command.h"
#include "launcher/qemu/doctor-run.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RUN_LIMIT_MS  5000
#define GUEST_LIMIT_S 3
#define SLOW_GUEST_S  1
#define KVM_DEVICE    "/dev/kvm"

#define RUN(input, end, limit_ms, ...)                                                             \
    cvd_doctor_run((const char *const[]){__VA_ARGS__, NULL}, input, limit_ms, end)

/* One that is none is not asked for more. */
void cvd_doctor_check_qemu(Doctor *doctor)
{
    static const char prefix[] = "QEMU emulator version ";
    CvdDoctorEnd end;
    g_autofree char *output = RUN(NULL, &end, RUN_LIMIT_MS, doctor->binary, "--version");
    int major = 0, minor = 0;
    char *version = strstr(output, prefix);

    if (version != NULL) {
        version += strlen(prefix);
        version[strcspn(version, "\n")] = '\0';
    }
    if (end == CVD_DOCTOR_TIMED_OUT)
        cvd_doctor_say(doctor, VERDICT_PROBLEM,
                       "qemu.binary: %s --version does not end; name another", doctor->binary);
    else if (version == NULL || sscanf(version, "%d.%d", &major, &minor) != 2)
        cvd_doctor_say(doctor, VERDICT_PROBLEM,
                       "qemu.binary: %s does not say that it is a QEMU; name an emulator, such "
                       "as " CVD_DOCTOR_BINARY,
                       doctor->binary);
    else if (major < 6 || (major == 6 && minor < 2))
        cvd_doctor_say(doctor, VERDICT_PROBLEM,
                       "%s has version %s; JSON for devices needs 6.2, install a newer one",
                       doctor->binary, version);
    else
        cvd_doctor_say(doctor, VERDICT_OK, "%s has version %s", doctor->binary, version);
    if (major > 0)
        cvd_doctor_note_version(doctor, "qemu", version);
    else
        g_clear_pointer(&doctor->binary, g_free);
}

/* What an option of QEMU can be. NULL if it does not say. */
static char *list_choices(Doctor *doctor, const char *option)
{
    CvdDoctorEnd end;
    g_autofree char *list = RUN(NULL, &end, RUN_LIMIT_MS, doctor->binary, option, "help");

    if (end == CVD_DOCTOR_SUCCEEDED)
        return g_steal_pointer(&list);
    list[strcspn(list, "\n")] = '\0';
    cvd_doctor_say(
        doctor, VERDICT_PROBLEM,
        "%s %s help %s%s%s; do QEMU's packages (qemu-system-common, qemu-system-gui, …) all have "
        "one version?",
        doctor->binary, option, end == CVD_DOCTOR_TIMED_OUT ? "does not end" : "fails",
        *list != '\0' ? ": " : "", list);
    return NULL;
}

void cvd_doctor_check_machine(Doctor *doctor)
{
    const char *type = doctor->qemu != NULL ? doctor->qemu->machine : "q35";
    g_autofree char *list = list_choices(doctor, "-machine");

    if (g_str_has_prefix(type, "type="))
        type += strlen("type=");
    g_autofree char *line = g_strdup_printf("\n%.*s ", (int)strcspn(type, ","), type);
    if (list != NULL && strstr(list, line) != NULL)
        cvd_doctor_say(doctor, VERDICT_OK, "QEMU has the machine %s", g_strstrip(line));
    else if (list != NULL)
        cvd_doctor_say(doctor, VERDICT_PROBLEM,
                       "qemu.machine: QEMU has no machine %s; choose one of %s -machine help",
                       g_strstrip(line), doctor->binary);
}

/* Their names and aliases stand in quotes. */
static void check_device(Doctor *doctor, const char *list, const char *driver, Verdict without)
{
    g_autofree char *quoted = g_strdup_printf("\"%s\"", driver);

    if (strstr(list, quoted) != NULL)
        cvd_doctor_say(doctor, VERDICT_OK, "QEMU has the device %s", driver);
    else
        cvd_doctor_say(
            doctor, without,
            "qemu.devices: QEMU has no device %s; choose one of %s -device help, or install the "
            "package that brings it (qemu-system-gui, qemu-system-modules-…)",
            driver, doctor->binary);
}

void cvd_doctor_check_devices(Doctor *doctor)
{
    const CvdQemuConfig *qemu = doctor->qemu;
    g_autofree char *list = list_choices(doctor, "-device");

    if (list == NULL)
        return;
    check_device(doctor, list, "ivshmem-doorbell", VERDICT_PROBLEM);
    check_device(doctor, list, cvd_qemu_pvpanic(qemu != NULL ? qemu->machine : "q35"),
                 VERDICT_PROBLEM);
    check_device(doctor, list, "i6300esb",
                 qemu != NULL && qemu->watchdog_s > 0 ? VERDICT_PROBLEM : VERDICT_WARNING);
    for (char **device = qemu != NULL ? qemu->devices : NULL; device && *device; device++) {
        g_autoptr(JsonNode) node = cvd_json_from_string(*device, NULL);
        check_device(doctor, list,
                     json_object_get_string_member(json_node_get_object(node), "driver"),
                     VERDICT_PROBLEM);
    }
}

/* A machine without anything, which is sent `quit` at once. */
void cvd_doctor_check_sandbox(Doctor *doctor)
{
    static const char input[] = "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"quit\"}\n";
    CvdDoctorEnd end;

    if (doctor->qemu != NULL && doctor->qemu->sandbox == NULL) {
        cvd_doctor_say(doctor, VERDICT_WARNING,
                       "qemu.sandbox is off: a guest that breaks out of QEMU may do "
                       "whatever this user may");
        return;
    }
    g_autofree char *output =
        RUN(input, &end, RUN_LIMIT_MS, doctor->binary, "-machine", "none", "-nodefaults",
            "-display", "none", "-sandbox", CVD_SANDBOX_DEFAULT, "-qmp", "stdio");
    if (strstr(output, "\"SHUTDOWN\"") != NULL)
        cvd_doctor_say(doctor, VERDICT_OK, "QEMU's sandbox works");
    else
        cvd_doctor_say(
            doctor, VERDICT_PROBLEM,
            "QEMU does not run in its sandbox (a build without seccomp, or a container that does "
            "not allow it): --set qemu.sandbox=false, at your own risk");
}

/* ---- Accelerators ---- */

static const char *const *accels_of(const Doctor *doctor)
{
    static const char *const any[] = {"kvm", "tcg", NULL};

    return doctor->qemu != NULL ? (const char *const *)doctor->qemu->accel : any;
}

void cvd_doctor_check_accelerators(Doctor *doctor)
{
    g_autofree char *list = list_choices(doctor, "-accel");
    g_auto(GStrv) words = g_strsplit_set(list != NULL ? list : "", " ,\n", -1);
    g_autoptr(GString) known = g_string_new(NULL);

    for (const char *const *accel = accels_of(doctor); *accel != NULL; accel++) {
        g_autofree char *name = g_strndup(*accel, strcspn(*accel, ","));
        if (g_strv_contains((const char *const *)words, name))
            g_string_append_printf(known, "%s%s", known->len > 0 ? ", " : "", name);
    }
    if (known->len > 0)
        cvd_doctor_say(doctor, VERDICT_OK, "QEMU has the accelerators %s", known->str);
    else if (list != NULL)
        cvd_doctor_say(
            doctor, VERDICT_PROBLEM,
            "qemu.accel: QEMU has none of these accelerators; choose one of %s -accel help",
            doctor->binary);
}

/* There are machines where KVM opens and every guest hangs, or crawls: nested ones, above all. */
static void check_kvm_guest(Doctor *doctor)
{
    g_autofree char *guest = cvd_builtin_guest_path();
    gint64 start_us = g_get_monotonic_time();
    CvdDoctorEnd end;

    if (doctor->binary == NULL || access(guest, R_OK) < 0 ||
        cvd_kernel_misfit(guest, doctor->binary) != NULL) {
        cvd_doctor_say(doctor, VERDICT_OK,
                       KVM_DEVICE
                       " can be used; whether a guest runs under it is not known, as there is no "
                       "QEMU or guest to try");
        return;
    }
    g_autofree char *output =
        RUN(NULL, &end, GUEST_LIMIT_S * 1000, doctor->binary, "-accel", "kvm", "-machine", "q35",
            "-m", "64M", "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
            "-kernel", guest, "-append", "poweroff");
    double seconds = (double)(g_get_monotonic_time() - start_us) / G_TIME_SPAN_SECOND;
    if (end == CVD_DOCTOR_TIMED_OUT)
        cvd_doctor_say(
            doctor, VERDICT_PROBLEM,
            "a guest hangs under KVM: it did not run to its end within %d s, though " KVM_DEVICE
            " can be opened (is this a VM itself?): --set qemu.accel=tcg",
            GUEST_LIMIT_S);
    else if (strstr(output, "cvd-guest:") == NULL)
        cvd_doctor_say(doctor, VERDICT_PROBLEM,
                       "QEMU cannot run a guest under KVM: --set qemu.accel=tcg");
    else if (seconds > SLOW_GUEST_S)
        cvd_doctor_say(
            doctor, VERDICT_WARNING,
            "a guest runs under KVM, but took %.1f s to boot, which takes 0.1 s elsewhere (is this "
            "a VM itself?): --set qemu.accel=tcg may be faster",
            seconds);
    else
        cvd_doctor_say(doctor, VERDICT_OK, "a guest runs under KVM");
}

/* Where KVM alone is asked for, that it is of no use is a problem of the configuration. */
void cvd_doctor_check_kvm(Doctor *doctor)
{
    gboolean is_wanted = FALSE;

    for (const char *const *accel = accels_of(doctor); *accel != NULL; accel++)
        is_wanted |= g_str_has_prefix(*accel, "kvm");
    int error = is_wanted ? cvd_kvm_try(doctor->qemu != NULL ? doctor->qemu->run_as : NULL) : 0;
    if (!is_wanted)
        cvd_doctor_say(doctor, VERDICT_OK, "qemu.accel does not ask for KVM");
    else if (error == 0)
        check_kvm_guest(doctor);
    else
        cvd_doctor_say(doctor, VERDICT_WARNING,
                       KVM_DEVICE
                       " cannot be used (%s): %s; without it guests run under tcg, many times "
                       "slower",
                       g_strerror(error), cvd_kvm_remedy(error));
}

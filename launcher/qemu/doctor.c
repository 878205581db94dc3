/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/qemu/doctor.h"

#include "base/instance.h"
#include "base/json.h"
#include "launcher/config/config.h"
#include "launcher/config/probe.h"
#include "launcher/config/qemu.h"
#include "launcher/instance-dir.h"
#include "launcher/qemu/command.h"
#include "launcher/qemu/doctor-run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN_LIMIT_MS   5000
#define GUEST_LIMIT_MS 30000
#define SLOW_GUEST_S   2
#define DEFAULT_BINARY "qemu-system-x86_64"
#define KVM_DEVICE     "/dev/kvm"

typedef struct {
    const CvdConfig *config; /* NULL without */
    char *binary;            /* NULL if there is none */
    GPtrArray *problems;     /* where they go, and nothing else is said; NULL: all is printed */
    gboolean has_problem;
} Doctor;

typedef enum {
    VERDICT_OK,
    VERDICT_WARNING, /* it will do, though not as well as it could */
    VERDICT_PROBLEM, /* a launch will fail */
} Verdict;

static void say(Doctor *doctor, Verdict verdict, const char *format, ...) G_GNUC_PRINTF(3, 4);

static void say(Doctor *doctor, Verdict verdict, const char *format, ...)
{
    static const char *const words[] = {"ok", "warning", "problem"};
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    doctor->has_problem |= verdict == VERDICT_PROBLEM;
    if (doctor->problems == NULL) {
        printf("%s: %s\n", words[verdict], text);
        fflush(stdout); /* the next check may take a while */
    } else if (verdict == VERDICT_PROBLEM) {
        g_ptr_array_add(doctor->problems, g_steal_pointer(&text));
    }
}

#define RUN(input, end, limit_ms, ...)                                                             \
    cvd_doctor_run((const char *const[]){__VA_ARGS__, NULL}, input, limit_ms, end)

/* ---- QEMU ---- */

/* Returns: whether there is more to ask */
static gboolean check_version(Doctor *doctor)
{
    CvdDoctorEnd end;
    g_autofree char *output = RUN(NULL, &end, RUN_LIMIT_MS, doctor->binary, "--version");
    int major = 0, minor = 0;
    const char *number = strstr(output, "QEMU emulator version ");

    if (end == CVD_DOCTOR_TIMED_OUT)
        say(doctor, VERDICT_PROBLEM, "qemu.binary: %s --version does not end; name another",
            doctor->binary);
    else if (number == NULL || sscanf(number, "QEMU emulator version %d.%d", &major, &minor) != 2)
        say(doctor, VERDICT_PROBLEM,
            "qemu.binary: %s does not say that it is a QEMU; name an emulator, such "
            "as " DEFAULT_BINARY,
            doctor->binary);
    else if (major < 6 || (major == 6 && minor < 2))
        say(doctor, VERDICT_PROBLEM,
            "%s has version %d.%d; JSON for devices needs 6.2, install a newer one", doctor->binary,
            major, minor);
    else
        say(doctor, VERDICT_OK, "%s has version %d.%d", doctor->binary, major, minor);
    return major > 0;
}

/* What an option of QEMU can be. NULL if it does not say. */
static char *list_choices(Doctor *doctor, const char *option)
{
    CvdDoctorEnd end;
    g_autofree char *list = RUN(NULL, &end, RUN_LIMIT_MS, doctor->binary, option, "help");

    if (end == CVD_DOCTOR_SUCCEEDED)
        return g_steal_pointer(&list);
    list[strcspn(list, "\n")] = '\0';
    say(doctor, VERDICT_PROBLEM,
        "%s %s help %s%s%s; do QEMU's packages (qemu-system-common, qemu-system-gui, …) all have "
        "one version?",
        doctor->binary, option, end == CVD_DOCTOR_TIMED_OUT ? "does not end" : "fails",
        *list != '\0' ? ": " : "", list);
    return NULL;
}

static void check_machine(Doctor *doctor)
{
    const char *machine = doctor->config->qemu.machine;
    g_autofree char *list = list_choices(doctor, "-machine");
    const char *type = machine + (g_str_has_prefix(machine, "type=") ? strlen("type=") : 0);
    g_autofree char *line = g_strdup_printf("\n%.*s ", (int)strcspn(type, ","), type);

    if (list != NULL && strstr(list, line) != NULL)
        say(doctor, VERDICT_OK, "QEMU has the machine %s", g_strstrip(line));
    else if (list != NULL)
        say(doctor, VERDICT_PROBLEM,
            "qemu.machine: QEMU has no machine %s; choose one of %s -machine help",
            g_strstrip(line), doctor->binary);
}

/* Their names and aliases stand in quotes. */
static void check_device(Doctor *doctor, const char *list, const char *driver, Verdict without)
{
    g_autofree char *quoted = g_strdup_printf("\"%s\"", driver);

    if (strstr(list, quoted) != NULL)
        say(doctor, VERDICT_OK, "QEMU has the device %s", driver);
    else
        say(doctor, without,
            "qemu.devices: QEMU has no device %s; choose one of %s -device help, or install the "
            "package that brings it (qemu-system-gui, qemu-system-modules-…)",
            driver, doctor->binary);
}

static void check_configured_devices(Doctor *doctor, const char *list)
{
    for (char **device = doctor->config->qemu.devices; *device != NULL; device++) {
        g_autoptr(JsonNode) node = cvd_json_from_string(*device, NULL);
        const char *driver = json_object_get_string_member(json_node_get_object(node), "driver");
        check_device(doctor, list, driver, VERDICT_PROBLEM);
    }
}

static void check_devices(Doctor *doctor)
{
    const CvdQemuConfig *qemu = doctor->config != NULL ? &doctor->config->qemu : NULL;
    g_autofree char *list = list_choices(doctor, "-device");

    if (list == NULL)
        return;
    check_device(doctor, list, "ivshmem-doorbell", VERDICT_PROBLEM);
    check_device(doctor, list, cvd_qemu_pvpanic(qemu != NULL ? qemu->machine : "q35"),
                 VERDICT_PROBLEM);
    check_device(doctor, list, "i6300esb",
                 qemu != NULL && qemu->watchdog_s > 0 ? VERDICT_PROBLEM : VERDICT_WARNING);
    if (qemu != NULL)
        check_configured_devices(doctor, list);
}

static void ask_qemu(Doctor *doctor)
{
    if (!check_version(doctor))
        return;
    if (doctor->config != NULL)
        check_machine(doctor);
    check_devices(doctor);
}

/* A machine without anything, which is sent `quit` at once. */
static void check_sandbox(Doctor *doctor)
{
    static const char input[] = "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"quit\"}\n";
    CvdDoctorEnd end;

    if (doctor->config != NULL && doctor->config->qemu.sandbox == NULL) {
        say(doctor, VERDICT_WARNING,
            "qemu.sandbox is off: a guest that breaks out of QEMU may do "
            "whatever this user may");
        return;
    }
    g_autofree char *output =
        RUN(input, &end, RUN_LIMIT_MS, doctor->binary, "-machine", "none", "-nodefaults",
            "-display", "none", "-sandbox", CVD_SANDBOX_DEFAULT, "-qmp", "stdio");
    if (strstr(output, "\"SHUTDOWN\"") != NULL)
        say(doctor, VERDICT_OK, "QEMU's sandbox works");
    else
        say(doctor, VERDICT_PROBLEM,
            "QEMU does not run in its sandbox (a build without seccomp, or a container that does "
            "not allow it): --set qemu.sandbox=false, at your own risk");
}

/* What a launch would look for, too. */
static void check_configuration(Doctor *doctor)
{
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_auto(CvdQemuTools) tools = {0};

    cvd_config_probe(doctor->config, &tools, problems);
    for (guint i = 0; i < problems->len; i++)
        say(doctor, VERDICT_PROBLEM, "%s", (const char *)problems->pdata[i]);
    if (problems->len == 0)
        say(doctor, VERDICT_OK, "the files that the configuration names are there");
}

static void check_qemu(Doctor *doctor)
{
    const char *binary = doctor->config != NULL ? doctor->config->qemu.binary : DEFAULT_BINARY;

    doctor->binary = g_find_program_in_path(binary);
    if (doctor->config != NULL)
        check_configuration(doctor);
    else if (doctor->binary == NULL)
        say(doctor, VERDICT_PROBLEM, "%s is not in PATH; install qemu-system-x86", binary);
    if (doctor->binary == NULL)
        return;
    ask_qemu(doctor);
    check_sandbox(doctor);
}

/* ---- KVM ---- */

/* There are machines where KVM opens and every guest hangs, or crawls: nested ones, above all. */
static void check_kvm_guest(Doctor *doctor)
{
    g_autofree char *guest = cvd_builtin_guest_path();
    gint64 start_us = g_get_monotonic_time();
    CvdDoctorEnd end;

    if (doctor->binary == NULL || access(guest, R_OK) < 0 ||
        cvd_kernel_misfit(guest, doctor->binary) != NULL)
        return;
    g_autofree char *output =
        RUN(NULL, &end, GUEST_LIMIT_MS, doctor->binary, "-accel", "kvm", "-machine", "q35", "-m",
            "64M", "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel",
            guest, "-append", "poweroff");
    double seconds = (double)(g_get_monotonic_time() - start_us) / G_TIME_SPAN_SECOND;
    if (end == CVD_DOCTOR_TIMED_OUT)
        say(doctor, VERDICT_PROBLEM,
            "a guest hangs under KVM, though it can be opened (is this a VM itself?): --set "
            "qemu.accel=tcg");
    else if (strstr(output, "cvd-guest:") == NULL)
        say(doctor, VERDICT_PROBLEM, "QEMU cannot run a guest under KVM: --set qemu.accel=tcg");
    else if (seconds > SLOW_GUEST_S)
        say(doctor, VERDICT_WARNING,
            "a guest runs under KVM, but took %.1f s to boot, which takes 0.1 s elsewhere (is this "
            "a VM itself?): --set qemu.accel=tcg may be faster",
            seconds);
    else
        say(doctor, VERDICT_OK, "a guest runs under KVM");
}

/* Where KVM alone is asked for, that it is of no use is a problem of the configuration. */
static void check_kvm(Doctor *doctor)
{
    static const char *const any[] = {"kvm", "tcg", NULL};
    const CvdQemuConfig *qemu = doctor->config != NULL ? &doctor->config->qemu : NULL;
    gboolean is_wanted = FALSE;

    for (const char *const *accel = qemu != NULL ? (const char *const *)qemu->accel : any;
         *accel != NULL; accel++)
        is_wanted |= g_str_has_prefix(*accel, "kvm");
    int error = is_wanted ? cvd_kvm_try(qemu != NULL ? qemu->run_as : NULL) : 0;
    if (!is_wanted)
        say(doctor, VERDICT_OK, "qemu.accel does not ask for KVM");
    else if (error == 0)
        check_kvm_guest(doctor);
    else
        say(doctor, VERDICT_WARNING,
            KVM_DEVICE " cannot be used (%s): %s; without it guests run under tcg, many times "
                       "slower",
            g_strerror(error), cvd_kvm_remedy(error));
}

/* ---- Limits and memory ---- */

static void check_descriptors(Doctor *doctor)
{
    guint n_regions = doctor->config != NULL ? doctor->config->layout->n_regions : 16;
    guint64 needed = 2 * (guint64)n_regions + 64;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < needed)
        say(doctor, VERDICT_PROBLEM,
            "%u regions need %" G_GUINT64_FORMAT " descriptors, and the hard RLIMIT_NOFILE is "
            "%" G_GUINT64_FORMAT ": raise it (ulimit -Hn, LimitNOFILE=)",
            n_regions, needed, (guint64)limit.rlim_max);
    else
        say(doctor, VERDICT_OK, "RLIMIT_NOFILE is enough for %u regions", n_regions);
}

/* Only what pins memory needs it. */
static void check_memlock(Doctor *doctor)
{
    guint64 needed = doctor->config != NULL ? doctor->config->qemu.memory_bytes : 0;
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
        return;
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= MAX(needed, 1))
        say(doctor, VERDICT_OK, "RLIMIT_MEMLOCK is enough for the guest's memory");
    else
        say(doctor, VERDICT_OK,
            "RLIMIT_MEMLOCK is %" G_GUINT64_FORMAT " KiB, which matters only with VFIO devices of "
            "the host or -overcommit mem-lock=on (ulimit -l, LimitMEMLOCK=)",
            (guint64)limit.rlim_cur / 1024);
}

static guint64 read_number(const char *path)
{
    g_autofree char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? g_ascii_strtoull(text, NULL, 10) : 0;
}

static void check_hugepages(Doctor *doctor)
{
    guint64 size = doctor->config != NULL ? doctor->config->window.hugepage_size : 0;

    if (size == 0) {
        say(doctor, VERDICT_OK, "no huge pages are asked for");
        return;
    }
    g_autofree char *dir =
        g_strdup_printf("/sys/kernel/mm/hugepages/hugepages-%" G_GUINT64_FORMAT "kB", size / 1024);
    g_autofree char *path = g_build_filename(dir, "free_hugepages", NULL);
    g_autofree char *size_text = cvd_format_size(size);
    guint64 needed = (doctor->config->layout->window_size + size - 1) / size;
    guint64 n_free = read_number(path);
    g_autofree char *missing = g_strdup_printf(
        "window.hugepages: the window needs %" G_GUINT64_FORMAT " huge pages of %s, "
        "%" G_GUINT64_FORMAT " are free: write more into %s/nr_hugepages",
        needed, size_text, n_free, dir);
    if (n_free >= needed)
        say(doctor, VERDICT_OK, "%" G_GUINT64_FORMAT " huge pages are free", n_free);
    else if (doctor->problems == NULL)
        say(doctor, VERDICT_PROBLEM, "%s", missing);
    else
        g_warning("%s", missing); /* by the time of a start there may be more */
}

/* ---- Directories ---- */

/* Follows the way up to what is there: that is where something would have to be made. */
static void check_runtime_dir(Doctor *doctor)
{
    g_autofree char *dir =
        cvd_instance_dir_path(doctor->config != NULL ? doctor->config->name : "cvd-1");
    g_autofree char *at = g_strdup(dir);
    g_autoptr(GError) error = NULL;
    struct stat st;

    if (doctor->config != NULL) {
        g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
        cvd_config_check_sockets(doctor->config, dir, problems);
        for (guint i = 0; i < problems->len; i++)
            say(doctor, VERDICT_PROBLEM, "%s", (const char *)problems->pdata[i]);
    }
    while (lstat(at, &st) < 0 && strcmp(at, "/") != 0) {
        char *parent = g_path_get_dirname(at);
        g_free(at);
        at = parent;
    }
    gboolean is_there = strcmp(at, dir) == 0;
    if (!cvd_instance_check_base(&error))
        say(doctor, VERDICT_PROBLEM, "%s", error->message);
    else if (is_there && (!S_ISDIR(st.st_mode) || st.st_uid != geteuid()))
        say(doctor, VERDICT_PROBLEM,
            "%s is not a directory of this user's: remove it, or set XDG_RUNTIME_DIR", dir);
    else if (access(at, W_OK | X_OK) < 0)
        say(doctor, VERDICT_PROBLEM,
            "the runtime directory %s cannot be made: %s: %s; set XDG_RUNTIME_DIR", dir, at,
            g_strerror(errno));
    else
        say(doctor, VERDICT_OK, "the runtime directory %s %s", dir,
            is_there ? "is there" : "can be made");
}

static void check_apparmor(Doctor *doctor)
{
    g_autofree char *enabled = NULL, *profile = NULL;

    if (!g_file_get_contents("/sys/module/apparmor/parameters/enabled", &enabled, NULL, NULL) ||
        enabled[0] != 'Y') {
        say(doctor, VERDICT_OK, "AppArmor is not enabled");
        return;
    }
    if (g_file_get_contents("/proc/self/attr/current", &profile, NULL, NULL) &&
        strcmp(g_strchomp(profile), "unconfined") != 0 && *profile != '\0')
        say(doctor, VERDICT_WARNING,
            "AppArmor confines this program (%s), and QEMU with it: where one of them may not open "
            "something, look for DENIED in the kernel's log and allow it in the profile",
            profile);
    else
        say(doctor, VERDICT_OK, "AppArmor is enabled and does not confine this program");
}

int cvd_doctor(const CvdConfig *config)
{
    Doctor doctor = {.config = config};

    if (access("/proc/self/fd", X_OK) < 0)
        say(&doctor, VERDICT_PROBLEM,
            "/proc is not there, which a launch needs: mount it (mount -t proc proc /proc)");
    if (config == NULL)
        say(&doctor, VERDICT_WARNING,
            "no configuration was found, so only the machine is looked at; name one with --config");
    check_qemu(&doctor);
    check_kvm(&doctor);
    check_descriptors(&doctor);
    check_memlock(&doctor);
    check_hugepages(&doctor);
    check_runtime_dir(&doctor);
    check_apparmor(&doctor);
    g_free(doctor.binary);
    return doctor.has_problem ? 1 : 0;
}

void cvd_doctor_check(const CvdConfig *config, const char *binary, GPtrArray *problems)
{
    g_autofree char *copy = g_strdup(binary);
    Doctor doctor = {.config = config, .binary = copy, .problems = problems};

    ask_qemu(&doctor);
    check_hugepages(&doctor);
}

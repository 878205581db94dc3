/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/doctor.h"

#include "launcher/doctor-run.h"
#include "launcher/instance-dir.h"
#include "launcher/qemu-config.h"

#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN_LIMIT_MS   5000
#define DEFAULT_BINARY "qemu-system-x86_64"
#define KVM_DEVICE     "/dev/kvm"

typedef struct {
    const CvdConfig *config; /* NULL without */
    char *binary;            /* NULL if there is none */
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
    printf("%s: %s\n", words[verdict], text);
    fflush(stdout); /* the next check may take a while */
    doctor->has_problem |= verdict == VERDICT_PROBLEM;
}

#define RUN(input, has_timed_out, ...)                                                             \
    cvd_doctor_run((const char *const[]){__VA_ARGS__, NULL}, input, RUN_LIMIT_MS, has_timed_out)

/* ---- QEMU ---- */

static void check_version(Doctor *doctor)
{
    gboolean has_timed_out;
    g_autofree char *output = RUN(NULL, &has_timed_out, doctor->binary, "--version");
    int major = 0, minor = 0;
    const char *number = output != NULL ? strstr(output, "version ") : NULL;

    if (has_timed_out)
        say(doctor, VERDICT_PROBLEM, "%s --version does not end; another qemu.binary?",
            doctor->binary);
    else if (number == NULL || sscanf(number, "version %d.%d", &major, &minor) != 2)
        say(doctor, VERDICT_PROBLEM, "%s does not say that it is a QEMU; check qemu.binary",
            doctor->binary);
    else if (major < 6 || (major == 6 && minor < 2))
        say(doctor, VERDICT_PROBLEM,
            "%s has version %d.%d; JSON for devices needs 6.2, install a newer one", doctor->binary,
            major, minor);
    else
        say(doctor, VERDICT_OK, "%s has version %d.%d", doctor->binary, major, minor);
}

static void check_device(Doctor *doctor, const char *list, const char *driver, Verdict without)
{
    g_autofree char *quoted = g_strdup_printf("name \"%s\"", driver);

    if (strstr(list, quoted) != NULL)
        say(doctor, VERDICT_OK, "QEMU has the device %s", driver);
    else
        say(doctor, without,
            "this build of QEMU has no device %s; install the package that brings it "
            "(qemu-system-gui, qemu-system-modules-…), or another qemu.binary",
            driver);
}

static void check_configured_devices(Doctor *doctor, const char *list)
{
    for (char **device = doctor->config->qemu.devices; *device != NULL; device++) {
        g_autoptr(JsonNode) node = json_from_string(*device, NULL);
        JsonNode *driver = node != NULL && JSON_NODE_HOLDS_OBJECT(node)
                               ? json_object_get_member(json_node_get_object(node), "driver")
                               : NULL;
        if (driver != NULL && json_node_get_value_type(driver) == G_TYPE_STRING)
            check_device(doctor, list, json_node_get_string(driver), VERDICT_PROBLEM);
    }
}

static void check_devices(Doctor *doctor)
{
    gboolean has_timed_out;
    g_autofree char *list = RUN(NULL, &has_timed_out, doctor->binary, "-device", "help");

    if (list == NULL) {
        say(doctor, VERDICT_PROBLEM, "%s -device help %s", doctor->binary,
            has_timed_out ? "does not end" : "says nothing");
        return;
    }
    check_device(doctor, list, "ivshmem-doorbell", VERDICT_PROBLEM);
    check_device(doctor, list, "pvpanic", VERDICT_PROBLEM);
    check_device(doctor, list, "i6300esb",
                 doctor->config != NULL && doctor->config->qemu.watchdog_s > 0 ? VERDICT_PROBLEM
                                                                               : VERDICT_WARNING);
    if (doctor->config != NULL)
        check_configured_devices(doctor, list);
}

/* A machine without anything, which quits when it is told to. */
static void check_sandbox(Doctor *doctor)
{
    static const char input[] = "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"quit\"}\n";
    gboolean has_timed_out;

    if (doctor->config != NULL && doctor->config->qemu.sandbox == NULL) {
        say(doctor, VERDICT_WARNING,
            "qemu.sandbox is off: a guest that breaks out of QEMU may do "
            "whatever this user may");
        return;
    }
    g_autofree char *output =
        RUN(input, &has_timed_out, doctor->binary, "-machine", "none", "-nodefaults", "-display",
            "none", "-sandbox", CVD_SANDBOX_DEFAULT, "-qmp", "stdio");
    if (output != NULL && strstr(output, "\"SHUTDOWN\"") != NULL)
        say(doctor, VERDICT_OK, "QEMU's sandbox works");
    else
        say(doctor, VERDICT_PROBLEM,
            "QEMU does not run in its sandbox (a build without seccomp, or a container that does "
            "not allow it): --set qemu.sandbox=false, at your own risk");
}

static void check_qemu(Doctor *doctor)
{
    const char *binary = doctor->config != NULL ? doctor->config->qemu.binary : DEFAULT_BINARY;

    doctor->binary = g_find_program_in_path(binary);
    if (doctor->binary == NULL) {
        say(doctor, VERDICT_PROBLEM,
            "%s is not there, or cannot be executed; install qemu-system-x86, or set qemu.binary",
            binary);
        return;
    }
    check_version(doctor);
    check_devices(doctor);
    check_sandbox(doctor);
}

/* ---- KVM ---- */

/* There are machines where KVM opens and every guest hangs: nested ones, above all. */
static void check_kvm_guest(Doctor *doctor)
{
    g_autofree char *guest = cvd_builtin_guest_path();
    gboolean has_timed_out;

    if (doctor->binary == NULL || access(guest, R_OK) < 0)
        return;
    g_autofree char *output =
        RUN(NULL, &has_timed_out, doctor->binary, "-accel", "kvm", "-machine", "q35", "-m", "64M",
            "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio", "-kernel", guest,
            "-append", "poweroff");
    if (has_timed_out)
        say(doctor, VERDICT_PROBLEM,
            "a guest hangs under KVM, though it can be opened (is this a VM itself?): --set "
            "qemu.accel=tcg");
    else if (output == NULL || strstr(output, "cvd-guest:") == NULL)
        say(doctor, VERDICT_PROBLEM, "QEMU cannot run a guest under KVM: --set qemu.accel=tcg");
    else
        say(doctor, VERDICT_OK, "a guest runs under KVM");
}

static gboolean is_kvm(const char *accel)
{
    return g_str_has_prefix(accel, "kvm");
}

/* QEMU falls back on what it finds next where KVM cannot be opened, but not where guests hang. */
static void check_kvm(Doctor *doctor)
{
    gboolean is_wanted = doctor->config == NULL, has_other = doctor->config == NULL;

    for (char **accel = doctor->config != NULL ? doctor->config->qemu.accel : NULL;
         accel != NULL && *accel != NULL; accel++) {
        is_wanted |= is_kvm(*accel);
        has_other |= !is_kvm(*accel);
    }
    if (!is_wanted) {
        say(doctor, VERDICT_OK, "qemu.accel does not ask for KVM");
        return;
    }
    Verdict without = has_other ? VERDICT_WARNING : VERDICT_PROBLEM;
    int fd = open(KVM_DEVICE, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        check_kvm_guest(doctor);
    } else if (errno == EACCES || errno == EPERM) {
        say(doctor, without,
            KVM_DEVICE " may not be opened: add this user to the group kvm and log in again; "
                       "without it guests run under tcg, many times slower");
    } else {
        say(doctor, without,
            KVM_DEVICE " cannot be used (%s): load kvm_intel or kvm_amd, and in a VM turn nested "
                       "virtualisation on; without it guests run under tcg, many times slower",
            g_strerror(errno));
    }
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
    guint64 needed = (doctor->config->layout->window_size + size - 1) / size;
    guint64 n_free = read_number(path);
    if (n_free < needed)
        say(doctor, VERDICT_PROBLEM,
            "the window needs %" G_GUINT64_FORMAT " huge pages, %" G_GUINT64_FORMAT
            " are free: write more into %s/nr_hugepages",
            needed, n_free, dir);
    else
        say(doctor, VERDICT_OK, "%" G_GUINT64_FORMAT " huge pages are free", n_free);
}

/* ---- Directories ---- */

/* Follows the way up to what is there: that is where something would have to be made. */
static void check_runtime_dir(Doctor *doctor)
{
    g_autofree char *dir =
        cvd_instance_dir_path(doctor->config != NULL ? doctor->config->name : "cvd-1");
    g_autofree char *at = g_strdup(dir);
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
    if (is_there && (!S_ISDIR(st.st_mode) || st.st_uid != geteuid()))
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

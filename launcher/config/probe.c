/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a configuration's names mean on this machine. Everything here only looks; a later start can
 * still find that a file has gone, and says so then.
 */
#include "launcher/config/probe.h"

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "launcher/config/executable.h"
#include "launcher/config/place.h"
#include "launcher/config/probe-cpus.h"
#include "launcher/config/probe-programs.h"
#include "launcher/config/run-as.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define KVM_DEVICE "/dev/kvm"

static char *find_binary(const char *binary, GPtrArray *problems)
{
    g_autofree char *why = NULL;
    char *path = cvd_executable_find(binary, &why);

    if (!path)
        cvd_problem(problems, "qemu.binary: %s; %s", why,
                    strchr(binary, '/')
                        ? "set qemu.binary to an emulator, such as qemu-system-x86_64"
                        : "install it (apt install qemu-system-x86) or set qemu.binary to the path "
                          "of an emulator");
    return path;
}

/* @may_be_device: what a disk may be, and nothing else */
static gboolean check_file(const char *key, const char *path, gboolean may_be_device,
                           const char *remedy, GPtrArray *problems)
{
    struct stat info;
    gboolean is_there = stat(path, &info) == 0 && access(path, R_OK) == 0;

    if (!is_there)
        cvd_problem(problems, "%s: %s: %s; %s", key, path, g_strerror(errno), remedy);
    else if (S_ISDIR(info.st_mode))
        cvd_problem(problems, "%s: %s: is a directory; %s", key, path, remedy);
    else if (!S_ISREG(info.st_mode) && !may_be_device)
        cvd_problem(problems, "%s: %s: is not a regular file; %s", key, path, remedy);
    else
        return TRUE;
    return FALSE;
}

/* What the start of a kernel says, and for which qemu-system-NAME it is. */
static const struct {
    gsize offset;
    const char *magic;
    gsize size;
    gboolean is_elf;
    const char *architecture;
    const char *emulators[3];
} kernels[] = {
    {0x202, "HdrS", 4, FALSE, "x86", {"i386", "x86_64"}},
    {56, "ARM\x64", 4, FALSE, "arm64", {"aarch64"}},
    {56, "RSC\x05", 4, FALSE, "RISC-V", {"riscv32", "riscv64"}},
    {18, "\x03", 2, TRUE, "i386", {"i386", "x86_64"}},
    {18, "\x3e", 2, TRUE, "x86-64", {"x86_64"}},
    {18, "\x28", 2, TRUE, "arm", {"arm", "aarch64"}},
    {18, "\xb7", 2, TRUE, "arm64", {"aarch64"}},
    {18, "\xf3", 2, TRUE, "RISC-V", {"riscv32", "riscv64"}},
};

/* The NAME of a binary qemu-system-NAME, or qemu-system-NAME-microvm; may be none. */
static char *emulator_of(const char *binary)
{
    g_autofree char *base = g_path_get_basename(binary);
    const char *name = g_str_has_prefix(base, "qemu-system-") ? base + strlen("qemu-system-") : "";

    return g_strndup(name, strcspn(name, "-"));
}

static gboolean is_emulator(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(kernels); i++)
        if (g_strv_contains(kernels[i].emulators, name))
            return TRUE;
    return FALSE;
}

const char *cvd_kernel_misfit(const char *path, const char *binary)
{
    g_autofree char *emulator = emulator_of(binary);
    char head[1024];
    cvd_autofd fd = open(path, O_RDONLY | O_CLOEXEC);
    gssize size = fd < 0 ? -1 : TEMP_FAILURE_RETRY(read(fd, head, sizeof head));

    for (gsize i = 0; i < G_N_ELEMENTS(kernels) && is_emulator(emulator); i++)
        if (size >= (gssize)(kernels[i].offset + kernels[i].size) &&
            memcmp(head + kernels[i].offset, kernels[i].magic, kernels[i].size) == 0 &&
            (!kernels[i].is_elf || memcmp(head,
                                          "\x7f"
                                          "ELF",
                                          4) == 0))
            return g_strv_contains(kernels[i].emulators, emulator) ? NULL : kernels[i].architecture;
    return NULL;
}

static void check_kernel(const char *path, const char *binary, GPtrArray *problems)
{
    const char *remedy = "name a kernel that exists and can be read, or \"builtin\"";

    if (g_str_has_suffix(path, "/cvd-guest.elf"))
        remedy = access("/proc/self/exe", F_OK) < 0
                     ? "without /proc the built-in guest is not found: mount it"
                     : "the built-in guest was not built or not installed (meson option guest); "
                       "or name another kernel";
    if (!check_file("qemu.kernel", path, FALSE, remedy, problems) || !binary)
        return;
    const char *architecture = cvd_kernel_misfit(path, binary);
    if (architecture)
        cvd_problem(problems,
                    "qemu.kernel: %s is a kernel for %s, which %s cannot run; name another, or "
                    "another qemu.binary",
                    path, architecture, binary);
}

/* What an entry of blockdevs opens, at any depth of it. */
static void check_disk(const CvdPlace *place, const char *key, JsonNode *node, gpointer data)
{
    const char *path = cvd_node_get_string(node);

    if (g_strcmp0(key, "filename") == 0 && path && !g_str_has_prefix(path, "/dev/fdset/"))
        check_file("qemu.blockdevs", path, TRUE, "name an image that exists and can be read",
                   place->reader->problems);
}

static void check_disks(char **disks, GPtrArray *problems)
{
    g_autoptr(GHashTable) overrides = g_hash_table_new(NULL, NULL);
    CvdReader reader = {.problems = problems, .overrides = overrides};

    for (; *disks; disks++) {
        g_autoptr(JsonNode) node = cvd_json_from_string(*disks, NULL);
        cvd_place_walk(&(CvdPlace){&reader, "", "", "", 0}, node, check_disk, NULL);
    }
}

static void check_files(const CvdQemuConfig *qemu, const char *binary, GPtrArray *problems)
{
    if (qemu->kernel)
        check_kernel(qemu->kernel, binary, problems);
    if (qemu->initrd)
        check_file("qemu.initrd", qemu->initrd, FALSE, "name a file that exists and can be read",
                   problems);
    /* A bare name is one of QEMU's own firmware files. */
    if (qemu->firmware && strchr(qemu->firmware, '/'))
        check_file("qemu.firmware", qemu->firmware, FALSE,
                   "name a file that exists and can be read, or one of QEMU's own by its bare name",
                   problems);
    check_disks(qemu->blockdevs, problems);
}

static gboolean is_accel(const char *accel, const char *name)
{
    gsize length = strlen(name);

    return strncmp(accel, name, length) == 0 && (accel[length] == '\0' || accel[length] == ',');
}

static int try_kvm(void)
{
    cvd_autofd fd = open(KVM_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno;
    /* A container's stand-in can be opened, too. The version is constant by KVM's promise. */
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version < 0)
        return errno;
    cvd_autofd vm = TEMP_FAILURE_RETRY(ioctl(fd, KVM_CREATE_VM, 0));
    return version != KVM_API_VERSION ? ENOTTY : vm < 0 ? errno : 0;
}

/* QEMU is to have it, so that its user is the one who has to be let in. */
int cvd_kvm_try(const CvdRunAs *run_as)
{
    int status = 0;

    if (!run_as || geteuid() != 0)
        return try_kvm();
    pid_t pid = fork();
    if (pid == 0)
        _exit(cvd_run_as_enter(run_as) < 0 ? errno : try_kvm());
    if (pid < 0 || TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) < 0)
        return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

const char *cvd_kvm_remedy(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return "let the user that QEMU runs as into its group (adduser USER kvm, then log in anew)";
    case ENOENT:
    case ENODEV:
        return "enable virtualization in the firmware (nested virtualization, in a VM) and load "
               "the module kvm_intel or kvm_amd";
    case ENOTTY:
        return "it is not the device of the module kvm_intel or kvm_amd; load one of these";
    case EBUSY:
        return "stop the other hypervisor that has the processor";
    default:
        return "make it available";
    }
}

/* Why @accel is of no use here, or NULL. */
static char *refuse_accel(const char *accel, const CvdRunAs *run_as, const char **remedy)
{
    static const struct {
        const char *name;
        const char *system;
    } foreign[] = {{"hvf", "macOS"}, {"whpx", "Windows"}, {"nvmm", "NetBSD"}};

    for (gsize i = 0; i < G_N_ELEMENTS(foreign); i++) {
        *remedy = "name kvm";
        if (is_accel(accel, foreign[i].name))
            return g_strdup_printf("%s is for %s", foreign[i].name, foreign[i].system);
    }
    if (!is_accel(accel, "kvm") && !is_accel(accel, "tcg") && !is_accel(accel, "xen")) {
        *remedy = "name kvm";
        return g_strdup_printf("no accelerator is called %s", accel);
    }
    int error = is_accel(accel, "kvm") ? cvd_kvm_try(run_as) : 0;
    *remedy = cvd_kvm_remedy(error);
    return error ? g_strdup_printf(KVM_DEVICE ": %s", g_strerror(error)) : NULL;
}

static void choose_accel(const CvdQemuConfig *qemu, CvdQemuTools *tools, GPtrArray *problems)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    const char *remedy = NULL;
    gboolean has_kvm = FALSE;

    for (char **accel = qemu->accel; *accel; accel++) {
        const char *what_to_do;
        char *why = refuse_accel(*accel, qemu->run_as, &what_to_do);
        has_kvm |= !why && is_accel(*accel, "kvm");
        if (!why) {
            g_strv_builder_add(builder, *accel);
        } else {
            g_free(tools->refused);
            tools->refused = why;
            remedy = what_to_do;
        }
    }
    tools->accel = g_strv_builder_end(builder);
    if (!*tools->accel)
        cvd_problem(problems, "qemu.accel: %s; %s, or set qemu.accel to \"tcg\"", tools->refused,
                    remedy);
    else if (!has_kvm && qemu->cpu && is_accel(qemu->cpu, "host"))
        cvd_problem(problems,
                    "qemu.cpu: only KVM has the processor \"host\", and the accelerator is %s; "
                    "set qemu.cpu to \"max\"",
                    tools->accel[0]);
}

static gboolean is_off(JsonObject *netdev, const char *script)
{
    const char *value = cvd_json_get_text(netdev, script);

    return value != NULL && (*value == '\0' || strcmp(value, "no") == 0);
}

static gboolean netdev_starts_program(const char *text)
{
    g_autoptr(JsonNode) node = cvd_json_from_string(text, NULL);
    JsonObject *netdev = json_node_get_object(node);
    const char *type = json_object_get_string_member(netdev, "type");

    if (strcmp(type, "tap") == 0)
        return !json_object_has_member(netdev, "fd") && !json_object_has_member(netdev, "fds") &&
               !(is_off(netdev, "script") && is_off(netdev, "downscript"));
    return strcmp(type, "bridge") == 0 || json_object_has_member(netdev, "smb") ||
           strstr(text, "-cmd:") != NULL;
}

static gboolean is_net_option(const char *arg)
{
    return g_str_has_suffix(arg, "-netdev") || g_str_has_suffix(arg, "-nic") ||
           g_str_has_suffix(arg, "-net");
}

/* @value: of -netdev, -nic or -net, in QEMU's own notation */
static gboolean net_option_starts_program(const char *value)
{
    g_auto(GStrv) parts = g_strsplit(value, ",", -1);
    const char *const *list = (const char *const *)parts;
    const char *type = g_str_has_prefix(value, "type=") ? parts[0] + strlen("type=") : parts[0];

    if (g_strcmp0(type, "tap") == 0)
        return strstr(value, ",fd") == NULL &&
               !(g_strv_contains(list, "script=no") && g_strv_contains(list, "downscript=no"));
    return g_strcmp0(type, "bridge") == 0 || strstr(value, ",smb=") != NULL;
}

static gboolean arg_starts_program(const char *before, const char *arg)
{
    return g_str_has_prefix(arg, "exec:") || strstr(arg, "-cmd:") != NULL ||
           (is_net_option(before) && net_option_starts_program(arg));
}

/* The sandbox kills a QEMU that starts a program, or lets it fail, perhaps not before the VM stops.
 */
static void warn_of_programs(const CvdQemuConfig *qemu)
{
    static const char remedy[] =
        "makes QEMU start a program, which its sandbox forbids; set qemu.sandbox to "
        "\"on,spawn=allow\"";

    if (qemu->sandbox == NULL || strstr(qemu->sandbox, "spawn=deny") == NULL)
        return;
    for (char **netdev = qemu->netdevs; *netdev; netdev++)
        if (netdev_starts_program(*netdev))
            g_warning("qemu.netdevs: %s: %s", *netdev, remedy);
    for (guint i = 0; qemu->extra_args[i] != NULL; i++)
        if (arg_starts_program(i > 0 ? qemu->extra_args[i - 1] : "", qemu->extra_args[i]))
            g_warning("qemu.extra_args: %s: %s", qemu->extra_args[i], remedy);
}

static void check_run_as(const CvdQemuConfig *qemu, GPtrArray *problems)
{
    if (qemu->run_as != NULL && geteuid() != 0)
        cvd_problem(problems,
                    "qemu.run_as: only root can start QEMU as user \"%s\"; leave it out, or start "
                    "cvd-launch as root",
                    qemu->run_as->user);
}

gboolean cvd_config_probe(const CvdConfig *config, CvdQemuTools *tools, GPtrArray *problems)
{
    guint n_before = problems->len;

    cvd_qemu_tools_clear(tools);
    tools->binary = find_binary(config->qemu.binary, problems);
    choose_accel(&config->qemu, tools, problems);
    check_files(&config->qemu, tools->binary, problems);
    check_run_as(&config->qemu, problems);
    cvd_cpus_probe(&config->qemu, problems);
    warn_of_programs(&config->qemu);
    cvd_programs_probe(config, problems);
    return problems->len == n_before;
}

void cvd_qemu_tools_clear(CvdQemuTools *tools)
{
    g_clear_pointer(&tools->binary, g_free);
    g_clear_pointer(&tools->accel, g_strfreev);
    g_clear_pointer(&tools->refused, g_free);
}

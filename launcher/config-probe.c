/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a configuration's names mean on this machine. Everything here only looks; a later start can
 * still find that a file has gone, and says so then.
 */
#include "launcher/config.h"

#include "base/error.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define KVM_DEVICE "/dev/kvm"

static void tell(GPtrArray *problems, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void tell(GPtrArray *problems, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_ptr_array_add(problems, g_strdup_vprintf(format, args));
    va_end(args);
}

static gboolean is_executable_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0;
}

static char *make_absolute(const char *path)
{
    if (g_path_is_absolute(path))
        return g_strdup(path);
    g_autofree char *cwd = g_get_current_dir();
    return g_build_filename(cwd, path, NULL);
}

/* Why a binary cannot be run, for one that is named by a path. */
static char *explain_binary(const char *path)
{
    struct stat info;
    if (stat(path, &info) < 0)
        return g_strdup(g_strerror(errno));
    if (!S_ISREG(info.st_mode))
        return g_strdup("is not a file");
    return g_strdup("is not executable (chmod +x makes it so)");
}

static char *find_binary(const char *binary, GPtrArray *problems)
{
    g_autofree char *path = strchr(binary, '/') ? g_strdup(binary) : g_find_program_in_path(binary);
    if (path && is_executable_file(path))
        return make_absolute(path);
    if (path) {
        g_autofree char *reason = explain_binary(path);
        tell(problems,
             "qemu.binary: %s: %s; set qemu.binary to an emulator, such as qemu-system-x86_64",
             path, reason);
    } else {
        tell(problems,
             "qemu.binary: %s is not in PATH; install it (apt install qemu-system-x86) or set "
             "qemu.binary to the path of an emulator",
             binary);
    }
    return NULL;
}

static void check_file(const char *key, const char *path, const char *remedy, GPtrArray *problems)
{
    struct stat info;
    if (stat(path, &info) < 0 || access(path, R_OK) < 0)
        tell(problems, "%s: %s: %s; %s", key, path, g_strerror(errno), remedy);
    else if (!S_ISREG(info.st_mode))
        tell(problems, "%s: %s: %s; %s", key, path,
             S_ISDIR(info.st_mode) ? "is a directory" : "is not a regular file", remedy);
}

static void check_files(const CvdQemuConfig *qemu, GPtrArray *problems)
{
    if (qemu->kernel) {
        gboolean is_builtin = g_str_has_suffix(qemu->kernel, "/cvd-guest.elf");
        check_file("qemu.kernel", qemu->kernel,
                   is_builtin ? "the built-in guest was not built or not installed (meson option "
                                "guest); or name another kernel"
                              : "name a kernel that exists and can be read, or \"builtin\"",
                   problems);
    }
    if (qemu->initrd)
        check_file("qemu.initrd", qemu->initrd, "name a file that exists and can be read",
                   problems);
    /* A bare name is one of QEMU's own firmware files. */
    if (qemu->firmware && strchr(qemu->firmware, '/'))
        check_file("qemu.firmware", qemu->firmware,
                   "name a file that exists and can be read, or one of QEMU's own by its bare name",
                   problems);
}

static gboolean is_kvm(const char *accel)
{
    return strcmp(accel, "kvm") == 0 || g_str_has_prefix(accel, "kvm,");
}

static const char *kvm_remedy(int error)
{
    switch (error) {
    case EACCES:
    case EPERM:
        return "join its group (adduser USER kvm, then log in anew)";
    case ENOENT:
    case ENODEV:
        return "enable virtualization in the firmware and load the module kvm_intel or kvm_amd";
    case ENOTTY:
        return "it is not the device of the module kvm_intel or kvm_amd; load one of these";
    default:
        return "make it available";
    }
}

/* 0, or the errno that says why KVM is no use. */
static int try_kvm(void)
{
    cvd_autofd fd = open(KVM_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno;
    /* A container's stand-in can be opened, too. The version is constant by KVM's promise. */
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version < 0)
        return errno;
    return version == KVM_API_VERSION ? 0 : ENOTTY;
}

static char **choose_accel(const CvdQemuConfig *qemu, GPtrArray *problems)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    int kvm_error = 0;
    guint n_usable = 0;

    for (char **accel = qemu->accel; *accel; accel++) {
        int error = is_kvm(*accel) ? try_kvm() : 0;
        if (error) {
            kvm_error = error;
            continue;
        }
        g_strv_builder_add(builder, *accel);
        n_usable++;
    }
    if (n_usable == 0) {
        tell(problems, "qemu.accel: %s: %s; %s, or set qemu.accel to \"tcg\"", KVM_DEVICE,
             g_strerror(kvm_error), kvm_remedy(kvm_error));
        return NULL;
    }
    char **usable = g_strv_builder_end(builder);
    if (kvm_error)
        g_message("accelerator %s, since %s cannot be used: %s", usable[0], KVM_DEVICE,
                  g_strerror(kvm_error));
    else
        g_message("accelerator %s", usable[0]);
    return usable;
}

static void check_run_as(const CvdQemuConfig *qemu, GPtrArray *problems)
{
    if (qemu->run_as != NULL && geteuid() != 0)
        g_ptr_array_add(problems,
                        g_strdup_printf("qemu.run_as: only root can start QEMU as user "
                                        "\"%s\"; leave it out, or start cvd-launch as root",
                                        qemu->run_as->user));
}

gboolean cvd_config_probe(const CvdConfig *config, CvdQemuTools *tools, GPtrArray *problems)
{
    guint n_before = problems->len;
    g_auto(CvdQemuTools) found = {
        .binary = find_binary(config->qemu.binary, problems),
        .accel = choose_accel(&config->qemu, problems),
    };
    check_files(&config->qemu, problems);
    check_run_as(&config->qemu, problems);
    if (problems->len > n_before)
        return FALSE;
    *tools = found;
    found = (CvdQemuTools){0};
    return TRUE;
}

void cvd_qemu_tools_clear(CvdQemuTools *tools)
{
    g_clear_pointer(&tools->binary, g_free);
    g_clear_pointer(&tools->accel, g_strfreev);
}

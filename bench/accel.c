/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which accelerator is measured. That /dev/kvm can be opened says little: some machines have one
 * that runs a few instructions and no kernel. So a Linux guest has to boot; its agent is started in
 * a way that it does not know, upon which the guest powers off.
 */
#include "bench/accel.h"

#include "base/fd.h"
#include "bench/run.h"
#include "bench/values.h"
#include "tests/support/launcher.h"
#include "tests/support/linux.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define DEVICE    "/dev/kvm"
#define LIMIT_S   "10" /* a kernel boots in two */
#define STATUS_OK 0

static char *guest_setting(const char *key, const char *file)
{
    g_autofree char *path = g_build_filename(g_getenv("CVD_LINUX_GUEST"), file, NULL);

    return g_strdup_printf("%s=%s", key, path);
}

static void try_kvm(const BenchOptions *options)
{
    g_autoptr(TestSandbox) sandbox = test_sandbox_new();
    g_autoptr(GArray) status = figure_values();
    g_autofree char *config = test_source_path("conf/examples/linux.json");
    g_autofree char *kernel = guest_setting("qemu.kernel", "vmlinuz");
    g_autofree char *initrd = guest_setting("qemu.initrd", "initramfs");
    const char *argv[] = {test_launcher_path(),
                          "--config",
                          config,
                          "--timeout",
                          LIMIT_S,
                          "--set",
                          "qemu.accel=kvm",
                          "--set",
                          "lifecycle.stop=quit",
                          "--set",
                          "qemu.append=console=ttyS0 quiet -- --power-off",
                          "--set",
                          kernel,
                          "--set",
                          initrd,
                          NULL};

    figure_progress("trying KVM");
    g_autoptr(TestProcess) launcher = test_process_start(sandbox, argv, NULL, NULL);
    double value = test_process_wait_exit(launcher);
    g_array_append_val(status, value);
    figure_report("status", "", status, "", FIGURE_PLAIN, 0);
}

static gboolean can_open(void)
{
    cvd_autofd fd = open(DEVICE, O_RDWR | O_CLOEXEC);

    return fd >= 0;
}

static gboolean boots(const Figures *figures)
{
    const Figure *status =
        figures->figures->len > 0 ? g_ptr_array_index(figures->figures, 0) : NULL;

    return status != NULL && g_array_index(status->values, double, 0) == STATUS_OK;
}

gboolean accel_choose(const char **wanted, char **why)
{
    static const BenchGroup group = {"kvm", "", try_kvm, TRUE};
    g_autoptr(Figures) figures = figures_new();
    g_autofree char *no_linux = test_linux_why_not();

    if (*wanted != NULL) {
        *why = g_strdup("as asked for");
    } else if (!can_open()) {
        *wanted = "tcg";
        *why = g_strdup_printf("%s: %s", DEVICE, g_strerror(errno));
    } else if (no_linux != NULL) {
        *wanted = "kvm";
        *why = g_strdup_printf("%s can be opened; not tried further: %s", DEVICE, no_linux);
    } else {
        if (!run_group(figures, &group, &(BenchOptions){.n_rounds = 1}))
            return FALSE;
        *wanted = boots(figures) ? "kvm" : "tcg";
        *why = g_strdup_printf("a Linux guest %s with KVM",
                               boots(figures) ? "boots" : "does not boot");
    }
    return TRUE;
}

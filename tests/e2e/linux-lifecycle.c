/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a Linux guest that reboots, panics, is killed or is to end, with each setting of
 * `lifecycle`; and of a host program that stays meanwhile.
 */
#include "tests/support/launcher.h"
#include "tests/support/linux.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What only a reboot or a new VM makes come twice. */
static void wait_rebooted(TestLinux *vm, TestRegion *stayed)
{
    test_region_wait_closed(stayed);
    test_linux_wait_ready(vm, 2);
    test_linux_ping(vm, "sensors");
}

/* Inside of QEMU: the data stays, what the old kernel left in the signal tables does not. */
static void test_reboot_continues(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot("lifecycle.on_reboot=continue", NULL);
    g_autoptr(TestRegion) stayed = test_linux_attach(vm, "misc");
    pid_t qemu = test_launcher_find_qemu(vm->launcher);

    test_region_ping(stayed, stayed->data_offset, 1);
    *test_region_word(stayed, stayed->data_offset + 64) = 4711;
    *test_region_word(stayed, stayed->in.word) = 1;
    test_linux_type(vm, "reboot");
    wait_rebooted(vm, stayed);
    g_assert_cmpint(test_launcher_find_qemu(vm->launcher), ==, qemu);
    g_assert_cmpuint(*test_region_word(stayed, stayed->data_offset + 64), ==, 4711);
    test_linux_ping(vm, "misc");
    test_linux_stop(vm);
}

static void test_reboot_restarts(gconstpointer data)
{
    g_autoptr(TestLinux) vm =
        test_linux_boot("lifecycle.on_reboot=restart", TEST_LINUX_NO_DELAY, NULL);
    g_autoptr(TestRegion) stayed = test_linux_attach(vm, "misc");
    pid_t qemu = test_launcher_find_qemu(vm->launcher);

    test_linux_type(vm, "reboot");
    wait_rebooted(vm, stayed);
    g_assert_cmpint(test_launcher_find_qemu(vm->launcher), !=, qemu);
    test_process_wait_err(vm->launcher, "guest rebooted", 1);
    test_linux_stop(vm);
}

static void test_reboot_exits(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot("lifecycle.on_reboot=exit", NULL);

    test_linux_type(vm, "reboot");
    test_linux_end(vm, 0);
    test_launcher_assert_err(vm->launcher, "guest rebooted");
}

static void test_panic_exits(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot("lifecycle.on_panic=exit", NULL);

    test_linux_type(vm, "panic");
    test_linux_end(vm, 1);
    test_launcher_assert_err(vm->launcher, "guest panicked");
    g_assert_nonnull(strstr(vm->console->out->str, "sysrq triggered crash"));
}

/* Region data are zero again: the next kernel faces what the first one did. */
static void test_panic_restarts(gconstpointer data)
{
    g_autoptr(TestLinux) vm =
        test_linux_boot("lifecycle.on_panic=restart", TEST_LINUX_NO_DELAY, NULL);
    g_autoptr(TestRegion) stayed = test_linux_attach(vm, "misc");

    *test_region_word(stayed, stayed->data_offset + 64) = 4711;
    test_linux_type(vm, "panic");
    wait_rebooted(vm, stayed);
    test_process_wait_err(vm->launcher, "guest panicked", 1);
    g_assert_cmpuint(*test_region_word(stayed, stayed->data_offset + 64), ==, 0);
    test_linux_stop(vm);
}

/* A kernel that is told to reboot after a panic has panicked all the same. */
static void test_panic_with_reboot(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot(
        "lifecycle.on_panic=exit", "lifecycle.on_reboot=continue",
        "qemu.append=console=ttyS0 quiet no_timer_check intel_iommu=on panic=-1", NULL);

    test_linux_type(vm, "panic");
    test_linux_end(vm, 1);
    test_launcher_assert_err(vm->launcher, "guest panicked");
}

static void test_panics_are_counted(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot(
        "lifecycle.on_panic=restart", "lifecycle.restart_limit=1", TEST_LINUX_NO_DELAY, NULL);

    test_linux_type(vm, "panic");
    test_linux_wait_ready(vm, 2);
    test_linux_type(vm, "panic");
    test_linux_end(vm, 1);
    test_launcher_assert_err(vm->launcher, "given up");
}

/*
 * A host program that keeps its mapping has the memory of the next VM as well: what the new guest
 * writes shows in the old mapping, and what is written there reaches the new guest.
 */
static void test_client_stays(gconstpointer data)
{
    g_autoptr(TestLinux) vm =
        test_linux_boot("lifecycle.on_crash=restart", TEST_LINUX_NO_DELAY, NULL);
    g_autoptr(TestRegion) stayed = test_linux_attach(vm, "framebuffer");
    guint32 last = stayed->end - stayed->begin - 4;
    struct stat old_window, new_window;

    test_linux_command(vm, "fill framebuffer 1", "cvd-agent: fill framebuffer: ");
    g_assert_cmpuint(*test_region_word(stayed, last), !=, 0);
    g_assert_no_errno(kill(test_launcher_find_qemu(vm->launcher), SIGKILL));
    test_region_wait_closed(stayed);
    test_linux_wait_ready(vm, 2);
    g_assert_cmpuint(*test_region_word(stayed, last), ==, 0);

    g_autoptr(TestRegion) again = test_linux_attach(vm, "framebuffer");
    g_assert_no_errno(fstat(stayed->window, &old_window));
    g_assert_no_errno(fstat(again->window, &new_window));
    g_assert_cmpuint(old_window.st_ino, ==, new_window.st_ino);
    test_region_ping(again, again->data_offset, 5);
    g_assert_cmpuint(*test_region_word(stayed, stayed->data_offset + 4), ==, 6);
    test_linux_command(vm, "fill framebuffer 2", "cvd-agent: fill framebuffer: ");
    *test_region_word(stayed, last) ^= 1;
    test_linux_command(vm, "check framebuffer 2", "at 0x100ffc, where");
    /* The doorbells that it kept are those of the new VM. */
    test_region_echo(stayed);
    test_linux_stop(vm);
}

static void test_crash_exits(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot("lifecycle.on_crash=exit", NULL);

    g_assert_no_errno(kill(test_launcher_find_qemu(vm->launcher), SIGKILL));
    test_linux_end(vm, 1);
    test_launcher_assert_err(vm->launcher, "killed by signal 9");
}

static void test_guest_powers_off(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot(NULL, NULL);

    test_linux_type(vm, "poweroff");
    test_linux_end(vm, 0);
    test_launcher_assert_err(vm->launcher, "guest powered off");
}

static void test_stop_by_quit(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot("lifecycle.stop=quit", NULL);

    test_process_signal(vm->launcher, SIGINT);
    test_linux_end(vm, 0);
    g_assert_null(strstr(vm->console->out->str, "power button"));
}

/* A kernel that nobody tells of the button. */
static void test_powerdown_times_out(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_boot("lifecycle.stop_timeout_s=1", NULL);

    test_linux_shell(vm, "rmmod button");
    test_process_signal(vm->launcher, SIGINT);
    test_linux_end(vm, 0);
    test_launcher_assert_err(vm->launcher, "asked QEMU to quit");
}

/* ---- A guest that does not run ---- */

/* On pc, as SeaBIOS 1.16 leaves q35's ACPI interrupt unrouted after a sleep: no button is heard. */
static TestLinux *boot_asleep(void)
{
    TestLinux *vm =
        test_linux_boot("qemu.machine=pc", "qemu.devices=[]",
                        "qemu.append=console=ttyS0 quiet no_timer_check -- --poll", NULL);

    test_linux_type(vm, "sh echo mem >/sys/power/state");
    test_process_wait_err(vm->launcher, "suspended: the guest sleeps", 1);
    return vm;
}

/* It could not see the power button. */
static void test_stop_wakes(gconstpointer data)
{
    g_autoptr(TestLinux) vm = boot_asleep();

    test_linux_stop(vm);
    test_launcher_assert_err(vm->launcher, "stopped: the guest powered off");
}

static void test_pause_of_a_sleeping_guest(gconstpointer data)
{
    g_autoptr(TestLinux) vm = boot_asleep();

    test_linux_ctl(vm, "pause", NULL);
    test_process_wait_err(vm->launcher, "suspended: the guest sleeps; paused when it wakes up", 1);
    test_linux_ctl(vm, "qmp", "system_wakeup");
    test_process_wait_err(vm->launcher, "paused: a pause was asked for", 1);
    test_linux_ctl(vm, "resume", NULL);
    test_linux_wait(vm, "cvd-agent: sh: exit status 0", 1);
    test_linux_stop(vm);
}

/* A disk that is full once: the first write fails, the next is taken. */
static TestLinux *boot_with_full_disk(const char *disk)
{
    g_autofree char *blockdevs =
        g_strdup_printf("qemu.blockdevs=[{\"node-name\":\"disk0\",\"driver\":\"raw\",\"file\":{"
                        "\"driver\":\"blkdebug\","
                        "\"inject-error\":[{\"event\":\"pwritev\",\"errno\":28,\"once\":true}],"
                        "\"image\":{\"driver\":\"file\",\"filename\":\"%s\"}}}]",
                        disk);
    TestLinux *vm =
        test_linux_boot(blockdevs,
                        "qemu.devices=[{\"driver\":\"intel-iommu\"},{\"driver\":\"virtio-blk-pci\","
                        "\"drive\":\"disk0\"}]",
                        NULL);

    test_linux_type(vm, "sh echo not lost | dd of=/dev/vda bs=512 conv=sync,fsync");
    test_process_wait_err(vm->launcher, "faulted: disk0: No space left on device", 1);
    return vm;
}

static char *make_disk(const TestSandbox *files)
{
    char *path = test_sandbox_write(files, "disk.img", "");

    g_assert_no_errno(truncate(path, 4096));
    return path;
}

static void assert_not_lost(const char *disk)
{
    g_autofree char *content = NULL;

    g_assert_true(g_file_get_contents(disk, &content, NULL, NULL));
    g_assert_cmpstr(content, ==, "not lost\n");
}

static void test_full_disk(gconstpointer data)
{
    g_autoptr(TestSandbox) files = test_sandbox_new();
    g_autofree char *disk = make_disk(files);
    g_autoptr(TestLinux) vm = boot_with_full_disk(disk);

    test_linux_ctl(vm, "resume", NULL);
    test_linux_wait(vm, "cvd-agent: sh: exit status 0", 1);
    test_linux_stop(vm);
    assert_not_lost(disk);
}

static void test_stop_with_full_disk(gconstpointer data)
{
    g_autoptr(TestSandbox) files = test_sandbox_new();
    g_autofree char *disk = make_disk(files);
    g_autoptr(TestLinux) vm = boot_with_full_disk(disk);

    test_linux_stop(vm);
    assert_not_lost(disk);
}

/* The agent says so, and the next one after a reboot. */
static void test_ready_by_word(gconstpointer data)
{
    g_autoptr(TestLinux) vm =
        test_linux_start("lifecycle.ready=guest", "lifecycle.start_timeout_s=300", NULL);

    test_linux_ctl(vm, "wait", "ready");
    test_process_wait_err(vm->launcher, "ms: the guest said so", 1);
    test_linux_ping(vm, "sensors");
    test_linux_type(vm, "reboot");
    test_process_wait_err(vm->launcher, "ready again: the guest said so", 1);
    test_linux_ctl(vm, "wait", "ready");
    test_linux_stop(vm);
}

/* Long before that the kernel prints who it is. */
static void test_ready_by_console(gconstpointer data)
{
    g_autoptr(TestLinux) vm = test_linux_start(
        "qemu.append=console=ttyS0 no_timer_check intel_iommu=on", "lifecycle.ready=guest",
        "lifecycle.ready_pattern=^\\[ +0\\.[0-9]+\\] Linux version [56]",
        "lifecycle.start_timeout_s=300", NULL);

    test_process_wait_err(vm->launcher, "ms: its console matches lifecycle.ready_pattern", 1);
    test_linux_ctl(vm, "wait", "ready");
    test_linux_wait_ready(vm, 1);
    test_linux_type(vm, "reboot");
    test_process_wait_err(vm->launcher, "ready again: its console matches", 1);
    test_linux_wait_ready(vm, 2);
    test_linux_stop(vm);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    test_linux_add("/linux-lifecycle/reboot-continues", NULL, test_reboot_continues);
    test_linux_add("/linux-lifecycle/reboot-restarts", NULL, test_reboot_restarts);
    test_linux_add("/linux-lifecycle/reboot-exits", NULL, test_reboot_exits);
    test_linux_add("/linux-lifecycle/panic-exits", NULL, test_panic_exits);
    test_linux_add("/linux-lifecycle/panic-restarts", NULL, test_panic_restarts);
    test_linux_add("/linux-lifecycle/panic-with-reboot", NULL, test_panic_with_reboot);
    test_linux_add("/linux-lifecycle/panics-are-counted", NULL, test_panics_are_counted);
    test_linux_add("/linux-lifecycle/client-stays", NULL, test_client_stays);
    test_linux_add("/linux-lifecycle/crash-exits", NULL, test_crash_exits);
    test_linux_add("/linux-lifecycle/guest-powers-off", NULL, test_guest_powers_off);
    test_linux_add("/linux-lifecycle/stop-by-quit", NULL, test_stop_by_quit);
    test_linux_add("/linux-lifecycle/powerdown-times-out", NULL, test_powerdown_times_out);
    test_linux_add("/linux-lifecycle/stop-wakes", NULL, test_stop_wakes);
    test_linux_add("/linux-lifecycle/pause-of-a-sleeping-guest", NULL,
                   test_pause_of_a_sleeping_guest);
    test_linux_add("/linux-lifecycle/full-disk", NULL, test_full_disk);
    test_linux_add("/linux-lifecycle/stop-with-full-disk", NULL, test_stop_with_full_disk);
    test_linux_add("/linux-lifecycle/ready-by-word", NULL, test_ready_by_word);
    test_linux_add("/linux-lifecycle/ready-by-console", NULL, test_ready_by_console);
    return g_test_run();
}

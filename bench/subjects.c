/* SPDX-License-Identifier: Apache-2.0 */
/* One configuration, and cvd-launch on it. */
#include "bench/subjects.h"

#include "bench/values.h"
#include "tests/support/launcher.h"

#include <signal.h>
#include <string.h>

#define NAME "bench"

static void add_settings(Subject *subject, const char *accel, GStrv extra)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    const char *fixed[] = {subject->layout, "window.prealloc=false", "lifecycle.stop=quit",
                           "lifecycle.on_crash=restart", "lifecycle.restart_delay_ms=0"};

    for (gsize i = 0; i < G_N_ELEMENTS(fixed); i++)
        g_strv_builder_add_many(builder, "--set", fixed[i], NULL);
    g_autofree char *size = g_strdup_printf("window.size=%" G_GUINT64_FORMAT, subject->window_size);
    g_strv_builder_add_many(builder, "--set", size, NULL);
    g_autofree char *accelerator = g_strdup_printf("qemu.accel=%s", accel);
    g_strv_builder_add_many(builder, "--set", accelerator, NULL);
    for (; extra != NULL && *extra != NULL; extra++)
        g_strv_builder_add_many(builder, "--set", *extra, NULL);
    subject->settings = g_strv_builder_end(builder);
}

static char **print_command(const Subject *subject)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    int n_words;
    char **words;
    g_autoptr(GError) error = NULL;

    g_strv_builder_addv(builder, (const char **)subject->settings);
    g_strv_builder_add(builder, "--print-command");
    g_auto(GStrv) args = g_strv_builder_end(builder);
    g_autoptr(TestProcess) launcher =
        test_launch_with(subject->sandbox, NAME, (const char *const *)args, NULL, NULL);
    test_launcher_assert_exit(launcher, 0);
    g_shell_parse_argv(launcher->out->str, &n_words, &words, &error);
    g_assert_no_error(error);
    return words;
}

Subject *subject_new(guint n_regions, guint64 window_size, const char *accel, gboolean is_huge)
{
    Subject *subject = g_new0(Subject, 1);
    char *huge[] = {(char *)"window.hugepages=2M", NULL};

    subject->sandbox = test_sandbox_new();
    subject->layout = test_write_layout(subject->sandbox, n_regions);
    subject->accelerator = g_strdup_printf("accelerator %s", accel);
    subject->n_regions = n_regions;
    subject->window_size = window_size;
    subject->is_huge = is_huge;
    add_settings(subject, accel, is_huge ? huge : NULL);
    subject->qemu_argv = print_command(subject);
    return subject;
}

void subject_set(Subject *subject, const char *setting)
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();

    g_strv_builder_addv(builder, (const char **)subject->settings);
    g_strv_builder_add_many(builder, "--set", setting, NULL);
    g_strfreev(subject->settings);
    subject->settings = g_strv_builder_end(builder);
}

void subject_free(Subject *subject)
{
    test_sandbox_assert_clean(subject->sandbox, TEST_NOTHING_LEFT);
    test_sandbox_free(subject->sandbox);
    g_strfreev(subject->qemu_argv);
    g_free(subject->layout);
    g_free(subject->accelerator);
    g_strfreev(subject->settings);
    g_free(subject);
}

/* What the table says ran has to be what ran. */
TestProcess *start_launch(const Subject *subject, double *start_ms)
{
    double begin_ms = now_ms();
    TestProcess *launcher = test_launch_with(subject->sandbox, NAME,
                                             (const char *const *)subject->settings, NULL, NULL);

    test_launcher_wait_running(launcher);
    *start_ms = now_ms() - begin_ms;
    test_launcher_assert_err(launcher, subject->accelerator);
    return launcher;
}

LaunchTimes time_launch(const Subject *subject)
{
    LaunchTimes times;
    g_autoptr(TestProcess) launcher = start_launch(subject, &times.start_ms);

    times.attached_ms = times.start_ms;
    double begin_ms = now_ms();
    test_launcher_stop(launcher, SIGINT);
    times.stop_ms = now_ms() - begin_ms;
    return times;
}

RestartTimes time_restart(const Subject *subject)
{
    RestartTimes times;
    g_autoptr(TestProcess) launcher = start_launch(subject, &times.start_ms);
    pid_t qemu = test_launcher_find_qemu(launcher);

    double begin_ms = now_ms();
    g_assert_no_errno(kill(qemu, SIGKILL));
    test_process_wait_err(launcher, ": running after ", 2);
    times.restart_ms = now_ms() - begin_ms;
    test_launcher_stop(launcher, SIGINT);
    return times;
}

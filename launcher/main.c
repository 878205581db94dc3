/* SPDX-License-Identifier: Apache-2.0 */
#include "base/complete.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/notify.h"
#include "launcher/config/config.h"
#include "launcher/config/layout-print.h"
#include "launcher/config/probe.h"
#include "launcher/foreground.h"
#include "launcher/instance-dir.h"
#include "launcher/launch-host.h"
#include "launcher/launch.h"
#include "launcher/options.h"
#include "launcher/qemu/command.h"
#include "launcher/qemu/doctor.h"
#include "launcher/restore-disks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char *(*const layout_formats[])(const CvdLayout *layout) = {
    [CVD_LAYOUT_FORMAT_TEXT] = cvd_layout_to_text,
    [CVD_LAYOUT_FORMAT_JSON] = cvd_layout_to_json,
    [CVD_LAYOUT_FORMAT_C] = cvd_layout_to_c_header,
};

static int report(GPtrArray *problems)
{
    cvd_config_log_problems(problems);
    return CVD_EXIT_USAGE;
}

static int print(char *take_text)
{
    g_autofree char *text = take_text;

    if (fputs(text, stdout) < 0 || fflush(stdout) != 0) {
        g_critical("cannot write to stdout: %s", g_strerror(errno));
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

/* Descriptors mean nothing in another shell: what is printed attaches to `--serve-only` by path. */
static int print_command(const CvdConfig *config, const CvdQemuTools *tools,
                         const CvdRestore *restore)
{
    g_autofree char *dir = cvd_instance_dir_path(config->name);
    g_autofree char *vm_socket = config->vm_socket != NULL ? g_strdup(config->vm_socket)
                                                           : g_build_filename(dir, "vm.sock", NULL);
    CvdQemuOrigin origin = restore != NULL ? cvd_restore_get_origin(restore) : (CvdQemuOrigin){0};
    g_autofree char *ram = restore != NULL ? cvd_restore_get_ram_path(restore) : NULL;

    origin.ram_path = ram;
    g_auto(GStrv) argv = cvd_qemu_command(config, tools, vm_socket, &origin);

    return print(cvd_quote_command((const char *const *)argv));
}

/* What was found in place of the configuration that --name names: the name may be misspelt. */
static void log_choices(const CvdOptions *options, const char *config_path,
                        const CvdQemuTools *tools)
{
    g_autofree char *named = g_strconcat("/", options->name, ".json", NULL);
    gboolean is_another = options->config == NULL && options->from == NULL &&
                          options->name != NULL && !g_str_has_suffix(config_path, named);
    g_autoptr(GString) text = g_string_new("configuration ");

    g_string_append(text, config_path);
    if (is_another)
        g_string_append_printf(text, " (there is no %s)", named + 1);
    g_string_append_printf(text, ", accelerator %s", tools->accel[0]);
    if (tools->refused != NULL)
        g_string_append_printf(text, " (%s)", tools->refused);
    g_message("%s", text->str);
}

/* Nothing has been made yet that would have to be taken down. */
static void stop_early(int signal_number)
{
    _exit(EXIT_SUCCESS);
}

static gboolean has_console(const CvdConfig *config)
{
    if (config->qemu.serial != CVD_SERIAL_NONE)
        return TRUE;
    g_critical("--console: the VM has no serial console, as qemu.serial is \"none\"");
    return FALSE;
}

/* @config: that of the first, if it was not said of which */
static void report_fine(const CvdOptions *options, const CvdConfig *config)
{
    const CvdGroup *group = &config->group;

    if (group->name != NULL && options->index == NULL)
        g_message("the configuration is fine; of the group %u..%u this was the first", group->first,
                  group->last);
    else
        g_message("the configuration is fine");
}

static int start(const CvdOptions *options, const CvdConfig *config, const CvdQemuTools *tools,
                 CvdRestore *restore)
{
    int kept[CVD_RESTORE_MAX_FDS], status;
    guint n_kept = restore != NULL ? cvd_restore_get_fds(restore, kept) : 0;

    if (options->console && !has_console(config))
        return CVD_EXIT_USAGE;
    if ((options->console || options->detach) &&
        !cvd_foreground_split(options, config->name, kept, n_kept, &status))
        return status;
    switch (options->mode) {
    case CVD_MODE_LAUNCH:
        return cvd_launch(config, tools, options, restore);
    case CVD_MODE_SERVE_ONLY:
        return cvd_launch_serve_only(config, options);
    case CVD_MODE_CHECK:
        report_fine(options, config);
        return EXIT_SUCCESS;
    case CVD_MODE_PRINT_COMMAND:
        return print_command(config, tools, restore);
    case CVD_MODE_DOCTOR:
    case CVD_MODE_PRINT_CONFIG:
    case CVD_MODE_PRINT_LAYOUT:
        break;
    }
    g_assert_not_reached();
}

/* What the command line says, and a snapshot where that does not. */
static CvdConfigSource make_source(const CvdOptions *options, const CvdRestore *restore,
                                   const char *found)
{
    CvdConfigSource source = {.path = options->config};

    if (options->config == NULL && restore != NULL)
        source = cvd_restore_get_source(restore, found);
    else if (options->config == NULL)
        source.path = found;
    source.name = options->name;
    source.index = options->index;
    source.may_choose = options->mode == CVD_MODE_CHECK || options->mode == CVD_MODE_DOCTOR;
    source.overrides = (const char *const *)options->overrides;
    source.keep_broken = options->mode == CVD_MODE_CHECK;
    source.explain = options->mode == CVD_MODE_PRINT_CONFIG;
    return source;
}

static char *find_config(const CvdOptions *options, const CvdRestore *restore, char **places)
{
    if (options->config != NULL)
        return NULL;
    return restore != NULL ? cvd_restore_get_config_path(restore)
                           : cvd_config_find(options->name, places);
}

/* What the configuration needs of this machine, and of the snapshot. */
static void check(const CvdOptions *options, CvdConfig *config, CvdRestore *restore,
                  CvdQemuTools *tools, GPtrArray *problems)
{
    g_autofree char *dir = cvd_instance_dir_path(config->name);

    cvd_config_check_sockets(config, dir, problems);
    if (restore != NULL && cvd_restore_check(restore, config, problems))
        cvd_restore_place_disks(restore, config, cvd_snapshot_get_dir(restore->snapshot));
    if (options->mode != CVD_MODE_SERVE_ONLY)
        cvd_config_probe(config, tools, problems);
    if (restore != NULL)
        cvd_restore_probe(restore, config, tools, problems);
    if (options->mode == CVD_MODE_CHECK && tools->binary != NULL)
        cvd_doctor_check(config, tools->binary, problems);
    if (restore != NULL && problems->len == 0)
        cvd_restore_place_disks(restore, config, dir);
}

static int run_with(const CvdOptions *options, CvdConfig *config, CvdRestore *restore,
                    const char *config_path, GPtrArray *problems)
{
    g_auto(CvdQemuTools) tools = {0};
    g_autoptr(GError) error = NULL;

    cvd_log_set_instance(config->name);
    if (options->mode == CVD_MODE_PRINT_CONFIG)
        return print(g_strdup(config->explanation));
    if (options->mode == CVD_MODE_PRINT_LAYOUT)
        return print(layout_formats[options->layout_format](config->layout));
    check(options, config, restore, &tools, problems);
    if (problems->len > 0)
        return report(problems);
    if (options->mode != CVD_MODE_SERVE_ONLY)
        log_choices(options, config_path, &tools);
    if (restore != NULL && options->mode == CVD_MODE_LAUNCH &&
        !cvd_restore_verify(restore, config, &error)) {
        g_critical("%s", error->message);
        return CVD_EXIT_USAGE;
    }
    return start(options, config, &tools, restore);
}

static int run(const CvdOptions *options)
{
    g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *places = NULL;
    g_autoptr(GError) error = NULL;

    if (options->console && !cvd_foreground_check_terminal(&error)) {
        g_critical("%s", error->message);
        return CVD_EXIT_USAGE;
    }
    /* Until the launch has its own handlers: a stop that was asked for is no failure, unless
     * somebody waits for the start. */
    if (options->mode <= CVD_MODE_SERVE_ONLY && !options->detach)
        cvd_stop_signals_set_handler(stop_early);
    g_autoptr(CvdRestore) restore =
        options->from != NULL ? cvd_restore_open(options->from, &error) : NULL;
    if (error != NULL) {
        g_critical("%s", error->message);
        return CVD_EXIT_USAGE;
    }
    g_autofree char *found = find_config(options, restore, &places);
    CvdConfigSource source = make_source(options, restore, found);
    if (source.path == NULL && options->mode == CVD_MODE_DOCTOR)
        return cvd_doctor(NULL, options->json);
    if (source.path == NULL) {
        g_critical("no configuration; looked for %s; name one with --config FILE", places);
        return CVD_EXIT_USAGE;
    }
    g_autoptr(CvdConfig) config = cvd_config_load(&source, problems);
    if (config == NULL)
        return report(problems);
    if (options->mode == CVD_MODE_DOCTOR)
        return cvd_doctor(config, options->json);
    return run_with(options, config, restore, source.path, problems);
}

/* Beyond stdin, stdout and stderr: no program that this one starts has what this one was started
 * with. Also where the kernel or a seccomp profile refuses close_range(2). */
static void inherit_no_fds(void)
{
    const char *name;

    if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        if (atoi(name) > STDERR_FILENO)
            fcntl(atoi(name), F_SETFD, FD_CLOEXEC);
}

int main(int argc, char **argv)
{
    g_auto(CvdOptions) options = {0};
    g_autoptr(GError) error = NULL;

    if (cvd_fd_fill_stdio() < 0)
        return EXIT_FAILURE;
    if (cvd_complete_is_asked((const char *const *)argv))
        return cvd_options_complete(argv + 2);
    inherit_no_fds();
    cvd_notify_init();
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that grows beyond RLIMIT_FSIZE is an error like another */
    signal(SIGCHLD, SIG_DFL); /* whoever ignores it gets no wait status, and we may inherit that */
    /* Reading the terminal from the background fails, but does not stop us. */
    signal(SIGTTIN, SIG_IGN);
    cvd_log_init("cvd-launch", FALSE);
    if (!cvd_options_parse((const char *const *)argv, &options, &error)) {
        g_critical("%s", error->message);
        return CVD_EXIT_USAGE;
    }
    if (options.version)
        return print(g_strdup("cvd-launch " CVD_VERSION "\n"));
    cvd_log_init(NULL, options.verbose);
    return run(&options);
}

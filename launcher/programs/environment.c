/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher/programs/environment.h"

#include "base/passed.h"
#include "launcher/config/substitute.h"

#include <string.h>

#define LISTEN_PID "0000000000"

static void set_expanded(char ***variables, const CvdConfig *config,
                         const CvdProgramConfig *program, const char *name, const char *text)
{
    g_autofree char *value = cvd_substitute(config, program, text);

    *variables = g_environ_setenv(*variables, name, value, TRUE);
}

/* sd_listen_fds(3) separates the names by colons. */
static char *name_region_fds(const CvdProgramConfig *program)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (char **region = program->regions; *region != NULL; region++)
        for (CvdPassedFd i = 0; i < CVD_PASSED_N_FDS; i++)
            g_string_append_printf(text, "%s%s%s", text->len > 0 ? ":" : "", *region,
                                   cvd_passed_fd_get_suffix(i));
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void set_program(char ***variables, const CvdConfig *config, const CvdProgramConfig *program,
                        const char *notify_socket)
{
    g_autofree char *regions = g_strjoinv(",", program->regions);

    *variables = g_environ_setenv(*variables, "CVD_PROGRAM", program->name, TRUE);
    if (program->regions[0] != NULL)
        *variables = g_environ_setenv(*variables, "CVD_REGION", regions, TRUE);
    if (notify_socket != NULL)
        *variables = g_environ_setenv(*variables, "NOTIFY_SOCKET", notify_socket, TRUE);
    if (program->pass_fds) {
        g_autofree char *n_fds =
            g_strdup_printf("%u", CVD_PASSED_N_FDS * g_strv_length(program->regions));
        g_autofree char *names = name_region_fds(program);
        *variables = g_environ_setenv(*variables, "LISTEN_FDS", n_fds, TRUE);
        *variables = g_environ_setenv(*variables, "LISTEN_FDNAMES", names, TRUE);
        if (program->confine == NULL || !program->confine->has_file_system)
            *variables = g_environ_setenv(*variables, "LISTEN_PID", LISTEN_PID, TRUE);
    }
    for (char **entry = program->env; entry != NULL && *entry != NULL; entry++) {
        const char *value = strchr(*entry, '=');
        g_autofree char *name = g_strndup(*entry, (gsize)(value - *entry));
        set_expanded(variables, config, program, name, value + 1);
    }
}

CvdProgramEnvironment cvd_program_environment(const CvdConfig *config, char **base,
                                              const CvdProgramConfig *program,
                                              const char *notify_socket)
{
    static const char *const ours[] = {"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS",
                                       "LISTEN_FDNAMES"};
    CvdProgramEnvironment environment = {.variables = g_strdupv(base)};
    char ***variables = &environment.variables;

    for (gsize i = 0; i < G_N_ELEMENTS(ours); i++)
        *variables = g_environ_unsetenv(*variables, ours[i]);
    set_expanded(variables, config, program, "CVD_NAME", "${name}");
    set_expanded(variables, config, program, "CVD_CLIENT_SOCKET", "${client_socket}");
    set_expanded(variables, config, program, "CVD_RUNTIME", "${runtime}");
    if (program != NULL)
        set_program(variables, config, program, notify_socket);
    for (char **entry = *variables; *entry != NULL; entry++)
        if (strcmp(*entry, "LISTEN_PID=" LISTEN_PID) == 0)
            environment.pid_text = *entry + strlen("LISTEN_PID=");
    return environment;
}

void cvd_program_environment_clear(CvdProgramEnvironment *environment)
{
    g_clear_pointer(&environment->variables, g_strfreev);
}

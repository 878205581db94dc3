/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that a program like the launcher can be: it parses one JSON text and sits in an empty
 * main loop. The launcher's memory is told as a multiple of this one's.
 */
#include <json-glib/json-glib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);

    if (argc != 2 || !json_parser_load_from_file(parser, argv[1], NULL))
        return 2;
    g_clear_object(&parser);
    if (write(STDERR_FILENO, "ready\n", 6) != 6)
        return 1;
    g_main_loop_run(loop);
    return 0;
}

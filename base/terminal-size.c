/* SPDX-License-Identifier: Apache-2.0 */
#include "base/terminal-size.h"

#include <sys/ioctl.h>

#define DEFAULT_ROWS    24
#define DEFAULT_COLUMNS 80

CvdTerminalSize cvd_terminal_get_size(int fd)
{
    struct winsize size = {0};
    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
        return (CvdTerminalSize){DEFAULT_ROWS, DEFAULT_COLUMNS};
    return (CvdTerminalSize){size.ws_row, size.ws_col};
}

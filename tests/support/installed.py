# SPDX-License-Identifier: Apache-2.0
"""For tests of what gets installed: installs into a directory, and compiles against that alone."""
import os
import subprocess


def install(build_dir, prefix, work, package, tags='devel'):
    """Returns the directory that stands for the prefix, as an installation that has moved, and that
    of the pkg-config files, one of which is the package's."""
    root = os.path.join(work, 'root')
    subprocess.run(['meson', 'install', '--no-rebuild', '--quiet', '--tags', tags,
                    '--destdir', root], cwd=build_dir, check=True)
    installed = os.path.join(root, prefix.lstrip('/'))
    directory = find_directory(installed, f'{package}.pc')
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        with open(path) as file:
            text = file.read()
        assert f'prefix={prefix}\n' in text, text
        with open(path, 'w') as file:
            file.write(text.replace(f'prefix={prefix}\n', f'prefix={installed}\n'))
    return installed, directory


def find_directory(root, name):
    """Returns the directory below root that has a file of that name, or None."""
    return next((where for where, _, names in os.walk(root) if name in names), None)


def compile_example(compiler, source, package, pkg_config_dir, work):
    """Returns the program."""
    env = {**os.environ, 'PKG_CONFIG_PATH': pkg_config_dir}
    own = subprocess.run(['pkg-config', '--cflags', '--libs', package], env=env, check=True,
                         stdout=subprocess.PIPE, text=True).stdout.split()
    program = os.path.join(work, os.path.splitext(os.path.basename(source))[0])
    subprocess.run([*compiler, '-Wall', '-Werror', source, '-o', program, *own],
                   cwd=work, check=True)
    return program

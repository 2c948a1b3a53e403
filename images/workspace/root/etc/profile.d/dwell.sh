# /etc/profile, which login shells read, sets PATH anew, and without the system's own programs.
PATH="$HOME/.local/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin"

# Run by bash as the first process of a host. What the host may write is its own: a layer over
# /etc, /var and /usr/local, homes, /run and /tmp; everything else is this machine's, and read-only.
# Variables: NAME; DISK, which outlives a reboot; USERS, apart from root;
# RUNTIME, `yes` where users have /run/user/<id>.

layer() {
    mkdir -p "$DISK/$1" "$DISK/work/$1"
    mount -t overlay "$1" -o "lowerdir=/$1,upperdir=$DISK/$1,workdir=$DISK/work/$1" "/$1"
}

own() {
    mkdir -p "$DISK/$1" "/$2"
    mount --bind "$DISK/$1" "/$2"
}

layer etc
layer var
layer usr/local
own root root
own home home
own docker var/lib/docker
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/sshd /run/lock /run/user /run/cgroup
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --move /run/cgroup /sys/fs/cgroup
rmdir /run/cgroup
mount -t proc proc /proc
# Nothing here is a way out of the host's own file system.
cp /proc/sys/kernel/random/uuid /run/boot-id
mount --bind /run/boot-id /proc/sys/kernel/random/boot_id

if [ ! -e "$DISK/made" ]; then
    cp -r /etc/skel/. /root/
    tr -d - </run/boot-id >/etc/machine-id
    echo "$NAME" >/etc/hostname
    printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$NAME" >/etc/hosts
    # Nobody answers there, which is told at once.
    echo 'nameserver 127.0.0.1' >/etc/resolv.conf
    rm -f /etc/gitconfig
    sed -i 's|^root:.*|root:x:0:0:root:/root:/bin/bash|' /etc/passwd
    echo 'root:*:19000::::::' >/etc/shadow
    sed -i '/^docker:/d' /etc/group
    echo "docker:x:29999:${USERS// /,}" >>/etc/group
    id=30000
    for user in $USERS; do
        id=$((id + 1))
        sed -i "/^$user:/d" /etc/passwd /etc/shadow /etc/group
        echo "$user:x:$id:$id::/home/$user:/bin/bash" >>/etc/passwd
        echo "$user:*:19000::::::" >>/etc/shadow
        echo "$user:x:$id:" >>/etc/group
        cp -r /etc/skel "/home/$user"
        chmod 700 "/home/$user"
        chown -R "$id:$id" "/home/$user"
    done
    cp "$DISK/boot/sshd_config" "$DISK/boot"/host_key* "$DISK/boot/authorized_keys" /etc/ssh/
    touch "$DISK/made"
fi
if [ "$RUNTIME" = yes ]; then
    for user in root $USERS; do
        id=$(id -u "$user")
        install -d -m 700 -o "$id" -g "$id" "/run/user/$id"
    done
fi

hostname "$NAME"
ip link set lo up
mount -t tmpfs -o mode=1777 tmp /tmp
mount -o remount,bind,ro /
/usr/sbin/sshd -E /run/sshd.log
until [ -s /run/sshd.pid ]; do sleep 0.01; done

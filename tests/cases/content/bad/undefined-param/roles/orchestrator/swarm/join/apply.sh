echo {{ params.mode | q }}
echo {{ params.moed | q }}

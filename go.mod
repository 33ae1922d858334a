module github.com/vel-gateway/vel

go 1.26
